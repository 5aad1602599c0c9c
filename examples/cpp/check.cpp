// rtae_check MODEL.onnx [DECODER.onnx]: what models/README.md says of every host, tried on this one.
#include <cstdio>
#include <random>

#include "processor.hpp"

using Signal = std::vector<float>;

static bool same(const char* what, const Signal& found, const Signal& wanted, size_t lag, float tolerance) {
    float worst = 0.0f;
    for (size_t at = lag; at < found.size(); ++at) worst = std::max(worst, std::abs(found[at] - wanted[at - lag]));
    const bool good = found.size() == wanted.size() && found.size() > lag && worst <= tolerance;
    std::printf("%-54s %s (largest difference %.1e)\n", what, good ? "yes" : "NO", worst);
    return good;
}

static Signal run(rtae::Processor& processor, Signal signal, const std::vector<size_t>& blocks) {
    for (size_t at = 0, turn = 0; at < signal.size(); ++turn) {
        const size_t count = std::min(blocks[turn % blocks.size()], signal.size() - at);
        processor.process(&signal[at], &signal[at], count);
        at += count;
    }
    return signal;
}

int main(int argc, char** argv) try {
    if (argc != 2 && argc != 3) throw std::runtime_error("usage: rtae_check MODEL.onnx [DECODER.onnx]");
    const std::vector<std::filesystem::path> models(argv + 1, argv + argc);
    rtae::Processor processor(models);
    std::mt19937 random(7);
    std::uniform_real_distribution<float> uniform(-0.3f, 0.3f);
    Signal noise(100 * processor.hop());
    for (float& sample : noise) sample = uniform(random);

    const Signal once = run(processor, noise, {noise.size()});
    processor.reset();
    bool good = same("After a reset, the same again", run(processor, noise, {noise.size()}), once, 0, 0.0f);
    processor.reset();
    good &= same("In blocks of all sizes, the same", run(processor, noise, {1, 63, 480, 0, 1024, 127}), once, 0, 0.0f);

    const std::vector<std::pair<const char*, size_t>> promises = {
        {"Of a promised 480 samples, the same", 480}, {"Of a promised hop, the same", processor.hop()}};
    for (const auto& [what, block] : promises) {
        rtae::Processor promised(models, block);
        Signal whole(noise.begin(), noise.end() - static_cast<long>(noise.size() % block));
        const Signal early = run(promised, whole, {block});
        good &= same(what, Signal(once.begin(), once.begin() + static_cast<long>(whole.size())), early,
                     processor.delay() - promised.delay(), 0.0f);
    }

    if (processor.denoises()) {
        processor.reset();
        processor.set_attenuation_limit_db(0.0f);
        good &= same("Without attenuation, the input at the declared delay", run(processor, noise, {480}), noise,
                     processor.delay(), 1e-5f);
    }
    return good ? 0 : 1;
} catch (const std::exception& error) {
    std::fprintf(stderr, "rtae_check: %s\n", error.what());
    return 2;
}
