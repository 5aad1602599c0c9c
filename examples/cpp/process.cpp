// rtae_process MODEL.onnx [DECODER.onnx] IN.wav OUT.wav: runs a recording through a denoiser, or an encoder and its
// decoder, block by block, as an audio callback would.
#include <chrono>
#include <cstdio>
#include <exception>

#include "processor.hpp"
#include "wave.hpp"

int main(int argc, char** argv) try {
    if (argc != 4 && argc != 5)
        throw std::runtime_error("usage: rtae_process MODEL.onnx [DECODER.onnx] IN.wav OUT.wav");
    constexpr size_t block = 480;
    const std::vector<std::filesystem::path> models(argv + 1, argv + argc - 2);
    const std::string source = argv[argc - 2];
    Wave wave = read_wave(source);
    const size_t frames = wave.samples.size() / wave.channels;
    double seconds = 0.0;
    for (size_t channel = 0; channel < wave.channels; ++channel) {
        rtae::Processor processor(models, block);
        require_rate(wave, source, processor.sample_rate());
        // The delay's worth of zeros at the end brings out what is still inside: output and input are then aligned.
        std::vector<float> signal((frames + processor.delay() + block - 1) / block * block);
        for (size_t at = 0; at < frames; ++at) signal[at] = wave.samples[at * wave.channels + channel];
        const auto start = std::chrono::steady_clock::now();
        for (size_t at = 0; at < signal.size(); at += block) processor.process(&signal[at], &signal[at], block);
        seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        for (size_t at = 0; at < frames; ++at)
            wave.samples[at * wave.channels + channel] = signal[at + processor.delay()];
    }
    write_wave(argv[argc - 1], wave);
    const double audio = static_cast<double>(frames) / wave.sample_rate;
    std::printf("%.1f s of audio, %u channels, in %.2f s\n", audio, wave.channels, seconds);
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "rtae_process: %s\n", error.what());
    return 2;
}
