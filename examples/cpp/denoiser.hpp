// A streaming denoiser over an rtae model file (models/README.md) and onnxruntime: nothing else is needed.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace rtae {

// Value of a field of the JSON object `text` itself, not of the objects inside it: the text of a number or a string.
inline std::string json_field(const std::string& text, const std::string& name) {
    int depth = 0;
    for (size_t at = 0; at < text.size(); ++at) {
        if (text[at] == '{' || text[at] == '[') ++depth;
        if (text[at] == '}' || text[at] == ']') --depth;
        if (text[at] != '"') continue;
        const size_t start = at + 1;
        for (++at; at < text.size() && text[at] != '"'; ++at) at += text[at] == '\\';
        const size_t colon = text.find_first_not_of(" \t\r\n", at + 1);
        const bool is_key = colon != std::string::npos && text[colon] == ':';
        if (depth != 1 || !is_key || text.compare(start, at - start, name) != 0 || at - start != name.size()) continue;
        const size_t value = text.find_first_not_of(" \t\r\n\"", colon + 1);
        return value == std::string::npos ? "" : text.substr(value, text.find_first_of(",}\" \t\r\n", value) - value);
    }
    return "";
}

// One stream of one channel, at the model's sample rate. Any number of samples in, as many out, `delay()` later.
// One thread at a time; the calling thread does the work.
class Denoiser {
public:
    // `block_size` promises that every block is a multiple of it, which lowers the delay; 1 is no promise.
    explicit Denoiser(const std::filesystem::path& model, size_t block_size = 1)
        : session_(environment(), model.c_str(), options()), block_size_(std::max<size_t>(block_size, 1)) {
        const auto allocator = Ort::AllocatorWithDefaultOptions();
        const auto metadata = session_.GetModelMetadata().LookupCustomMetadataMapAllocated("rtae", allocator);
        if (!metadata) throw std::runtime_error("not an rtae model: no 'rtae' metadata");
        const std::string spec = metadata.get();
        if (number(spec, "format_version") > 1) throw std::runtime_error("the model is of a newer format than 1");
        if (json_field(spec, "kind") != "denoiser") throw std::runtime_error("the model is not a denoiser");
        sample_rate_ = number(spec, "sample_rate");
        hop_ = number(spec, "hop");
        // Zeros that keep the queue of finished samples from running dry, whatever the blocks.
        padding_ = hop_ - std::gcd(block_size_, hop_);
        delay_ = number(spec, "delay") + padding_;
        audio_.resize(hop_);
        clean_.resize(hop_);
        ready_.resize(padding_ + block_size_ + hop_);
        for (auto& state : state_) state.resize(number(spec, "state_size"));
        for (size_t turn = 0; turn < 2; ++turn) {
            inputs_[turn].push_back(tensor(audio_));
            inputs_[turn].push_back(tensor(state_[turn]));
            inputs_[turn].push_back(tensor(limit_));
            outputs_[turn].push_back(tensor(clean_));
            outputs_[turn].push_back(tensor(state_[1 - turn]));
            outputs_[turn].push_back(tensor(speech_));
        }
        reset();
    }

    size_t sample_rate() const { return sample_rate_; }
    size_t hop() const { return hop_; }
    size_t delay() const { return delay_; }
    float speech() const { return speech_[0]; }
    void set_attenuation_limit_db(float decibels) { limit_[0] = decibels; }

    // Allocates nothing of its own. `input` and `output` may be the same.
    void process(const float* input, float* output, size_t count) {
        if (count % block_size_) throw std::invalid_argument("the block breaks the promised block size");
        for (const float* const end = input + count; input != end; input += block_size_, output += block_size_) {
            for (size_t at = 0; at < block_size_; ++at) {
                audio_[filled_++] = std::isfinite(input[at]) ? input[at] : 0.0f;
                if (filled_ == hop_) step();
            }
            for (size_t at = 0; at < block_size_; ++at) output[at] = ready_[read_++ % ready_.size()];
        }
    }

    void reset() {
        for (auto& state : state_) std::fill(state.begin(), state.end(), 0.0f);
        std::fill(ready_.begin(), ready_.end(), 0.0f);
        filled_ = turn_ = read_ = 0;
        written_ = padding_;
    }

private:
    void step() {
        static const char* const inputs[] = {"audio", "state", "attenuation_limit_db"};
        static const char* const outputs[] = {"audio_out", "state_out", "speech"};
        session_.Run(Ort::RunOptions{nullptr}, inputs, inputs_[turn_].data(), 3, outputs, outputs_[turn_].data(), 3);
        turn_ = 1 - turn_;
        for (const float sample : clean_) ready_[written_++ % ready_.size()] = sample;
        filled_ = 0;
    }

    static Ort::Env& environment() {
        static Ort::Env env(ORT_LOGGING_LEVEL_FATAL, "rtae");
        return env;
    }

    static Ort::SessionOptions options() {
        Ort::SessionOptions options;
        options.SetIntraOpNumThreads(1).SetInterOpNumThreads(1).SetExecutionMode(ORT_SEQUENTIAL);
        options.AddConfigEntry("session.set_denormal_as_zero", "1");
        return options;
    }

    static size_t number(const std::string& spec, const char* name) {
        const std::string value = json_field(spec, name);
        if (value.empty() || value.size() > 9 || value.find_first_not_of("0123456789") != std::string::npos)
            throw std::runtime_error(std::string("the model's metadata has no valid ") + name);
        return std::stoul(value);
    }

    static Ort::Value tensor(std::vector<float>& data) {
        const std::array<int64_t, 2> shape{1, static_cast<int64_t>(data.size())};
        const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
        return Ort::Value::CreateTensor<float>(memory, data.data(), data.size(), shape.data(), shape.size());
    }

    Ort::Session session_;
    size_t block_size_, sample_rate_ = 0, hop_ = 0, delay_ = 0, padding_ = 0;
    size_t filled_ = 0, turn_ = 0, read_ = 0, written_ = 0;
    std::vector<float> audio_, clean_, ready_, limit_{100.0f}, speech_{0.0f};
    std::array<std::vector<float>, 2> state_;
    std::array<std::vector<Ort::Value>, 2> inputs_, outputs_;
};

}  // namespace rtae
