// rtae_classify MODEL.onnx IN.wav: a classifier's scores of a recording, hop by hop as CSV, and what the whole of it is.
#include <cstdio>

#include "processor.hpp"
#include "wave.hpp"

int main(int argc, char** argv) try {
    if (argc != 3) throw std::runtime_error("usage: rtae_classify MODEL.onnx IN.wav");
    rtae::Model model(argv[1]);
    if (model.classes.empty()) throw std::runtime_error(std::string(argv[1]) + " is no classifier");
    const Wave wave = read_wave(argv[2]);
    require_rate(wave, argv[2], model.sample_rate);
    const size_t frames = wave.samples.size() / wave.channels;
    std::vector<double> sums(model.classes.size());
    std::printf("seconds");
    for (const std::string& name : model.classes) std::printf(",%s", name.c_str());
    for (size_t at = 0; at + model.hop <= frames; at += model.hop) {
        for (size_t frame = 0; frame < model.hop; ++frame) {
            const float sample = mono(wave, at + frame);
            model.audio[frame] = std::isfinite(sample) ? sample : 0.0f;
        }
        model.step();
        std::printf("\n%.3f", static_cast<double>(at) / wave.sample_rate);
        for (size_t place = 0; place < sums.size(); ++place) {
            std::printf(",%.9g", model.scores[place]);
            sums[place] += model.scores[place];
        }
    }
    // Of a stretch of sound: the softmax of the mean over its hops.
    const double hops = std::max<double>(1.0, static_cast<double>(frames / model.hop));
    const auto best = std::max_element(sums.begin(), sums.end());
    double whole = 0.0;
    for (const double sum : sums) whole += std::exp((sum - *best) / hops);
    std::printf("\n");
    std::fprintf(stderr, "%s, %.0f %%\n", model.classes[best - sums.begin()].c_str(), 100.0 / whole);
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "rtae_classify: %s\n", error.what());
    return 2;
}
