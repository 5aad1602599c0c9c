// rtae_denoise MODEL.onnx IN.wav OUT.wav: cleans a recording block by block, as an audio callback would.
#include <chrono>
#include <cstdio>
#include <exception>

#include "denoiser.hpp"
#include "wave.hpp"

int main(int argc, char** argv) try {
    if (argc != 4) throw std::runtime_error("usage: rtae_denoise MODEL.onnx IN.wav OUT.wav");
    constexpr size_t block = 480;
    Wave wave = read_wave(argv[2]);
    const size_t frames = wave.samples.size() / wave.channels;
    double seconds = 0.0;
    for (size_t channel = 0; channel < wave.channels; ++channel) {
        rtae::Denoiser denoiser(argv[1], block);
        if (denoiser.sample_rate() != wave.sample_rate)
            throw std::runtime_error("the model works at " + std::to_string(denoiser.sample_rate()) + " Hz, " + argv[2] +
                                     " is at " + std::to_string(wave.sample_rate) + " Hz; convert it first");
        // The delay's worth of zeros at the end brings out what is still inside: output and input are then aligned.
        std::vector<float> signal((frames + denoiser.delay() + block - 1) / block * block);
        for (size_t at = 0; at < frames; ++at) signal[at] = wave.samples[at * wave.channels + channel];
        const auto start = std::chrono::steady_clock::now();
        for (size_t at = 0; at < signal.size(); at += block) denoiser.process(&signal[at], &signal[at], block);
        seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        for (size_t at = 0; at < frames; ++at)
            wave.samples[at * wave.channels + channel] = signal[at + denoiser.delay()];
    }
    write_wave(argv[3], wave);
    const double audio = static_cast<double>(frames) / wave.sample_rate;
    std::printf("%.1f s of audio, %u channels, in %.2f s\n", audio, wave.channels, seconds);
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "rtae_denoise: %s\n", error.what());
    return 2;
}
