// A streaming processor over rtae model files (models/README.md) and onnxruntime: nothing else is needed.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace rtae {

// Where the value of a field of the JSON object `text` itself begins, not of the objects inside it; npos without it.
inline size_t json_value(const std::string& text, const std::string& name) {
    int depth = 0;
    for (size_t at = 0; at < text.size(); ++at) {
        if (text[at] == '{' || text[at] == '[') ++depth;
        if (text[at] == '}' || text[at] == ']') --depth;
        if (text[at] != '"') continue;
        const size_t start = at + 1;
        for (++at; at < text.size() && text[at] != '"'; ++at) at += text[at] == '\\';
        const size_t colon = text.find_first_not_of(" \t\r\n", at + 1);
        const bool is_key = colon != std::string::npos && text[colon] == ':';
        if (depth == 1 && is_key && text.compare(start, at - start, name) == 0)
            return text.find_first_not_of(" \t\r\n", colon + 1);
    }
    return std::string::npos;
}

// Text of a number or a string; empty without it.
inline std::string json_field(const std::string& text, const std::string& name) {
    const size_t at = json_value(text, name);
    if (at == std::string::npos) return "";
    if (text[at] == '"') return text.substr(at + 1, text.find('"', at + 1) - at - 1);
    return text.substr(at, text.find_first_of(",} \t\r\n", at) - at);
}

// A list of strings, escapes as they are written; empty without it.
inline std::vector<std::string> json_strings(const std::string& text, const std::string& name) {
    std::vector<std::string> found;
    size_t at = json_value(text, name);
    if (at == std::string::npos || text[at] != '[') return found;
    while ((at = text.find_first_of("\"]", at + 1)) != std::string::npos && text[at] == '"') {
        const size_t start = at + 1;
        for (at = start; at < text.size() && text[at] != '"'; ++at) at += text[at] == '\\';
        found.push_back(text.substr(start, at - start));
    }
    return found;
}

// One model file of any kind at work: what goes in, what comes out, and the state in two buffers that take turns.
class Model {
public:
    size_t sample_rate = 0, hop = 0, delay = 0;
    std::string kind;
    std::vector<std::string> classes;  // of a classifier, in the order of its scores
    std::vector<float> audio, audio_out, limit{100.0f}, speech{0.0f}, latents, scores;
    std::vector<int64_t> codes;

    explicit Model(const std::filesystem::path& file) : session_(environment(), file.c_str(), options()) {
        const auto allocator = Ort::AllocatorWithDefaultOptions();
        const auto metadata = session_.GetModelMetadata().LookupCustomMetadataMapAllocated("rtae", allocator);
        if (!metadata) throw std::runtime_error("not an rtae model: no 'rtae' metadata");
        const std::string spec = metadata.get();
        if (number(spec, "format_version") > 2) throw std::runtime_error("the model is of a newer format than 2");
        kind = json_field(spec, "kind");
        sample_rate = number(spec, "sample_rate");
        hop = number(spec, "hop");
        delay = number(spec, "delay");
        for (auto& state : state_) state.resize(number(spec, "state_size"));
        audio.resize(hop);
        audio_out.resize(hop);
        if (kind == "encoder" || kind == "decoder") codes.resize(number(spec, "codebooks"));
        if (kind == "vae-encoder" || kind == "vae-decoder") latents.resize(number(spec, "latent_size"));
        if (kind == "classifier") classes = json_strings(spec, "classes");
        scores.resize(classes.size());
        if (kind == "denoiser") bind({"audio", "attenuation_limit_db"}, {"audio_out", "speech"});
        else if (kind == "encoder") bind({"audio"}, {"codes"});
        else if (kind == "decoder") bind({"codes"}, {"audio_out"});
        else if (kind == "vae-encoder") bind({"audio"}, {"latents"});
        else if (kind == "vae-decoder") bind({"latents"}, {"audio_out"});
        else if (kind == "classifier") bind({"audio"}, {"scores"});
        else throw std::runtime_error("the model is of a kind that is not known here: " + kind);
    }

    void step() {
        session_.Run(Ort::RunOptions{nullptr}, input_names_.data(), inputs_[turn_].data(), input_names_.size(),
                     output_names_.data(), outputs_[turn_].data(), output_names_.size());
        turn_ = 1 - turn_;
    }

    void reset() {
        for (auto& state : state_) std::fill(state.begin(), state.end(), 0.0f);
        turn_ = 0;
    }

private:
    void bind(std::vector<const char*> inputs, std::vector<const char*> outputs) {
        for (size_t turn = 0; turn < 2; ++turn) {
            for (const std::string name : inputs) inputs_[turn].push_back(value(name));
            for (const std::string name : outputs) outputs_[turn].push_back(value(name));
            inputs_[turn].push_back(tensor(state_[turn]));
            outputs_[turn].push_back(tensor(state_[1 - turn]));
        }
        inputs.push_back("state");
        outputs.push_back("state_out");
        input_names_ = std::move(inputs);
        output_names_ = std::move(outputs);
    }

    Ort::Value value(const std::string& name) {
        if (name == "codes") return tensor(codes);
        return tensor(name == "audio"       ? audio
                      : name == "audio_out" ? audio_out
                      : name == "latents"   ? latents
                      : name == "speech"    ? speech
                      : name == "scores"    ? scores
                                            : limit);
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

    template <typename Number>
    static Ort::Value tensor(std::vector<Number>& data) {
        const std::array<int64_t, 2> shape{1, static_cast<int64_t>(data.size())};
        const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
        return Ort::Value::CreateTensor<Number>(memory, data.data(), data.size(), shape.data(), shape.size());
    }

    Ort::Session session_;
    size_t turn_ = 0;
    std::array<std::vector<float>, 2> state_;
    std::vector<const char*> input_names_, output_names_;
    std::array<std::vector<Ort::Value>, 2> inputs_, outputs_;
};

// One stream of one channel, at the models' sample rate. Any number of samples in, as many out, `delay()` later.
// One thread at a time; the calling thread does the work.
class Processor {
public:
    // `models` is a denoiser, or an encoder and the decoder that goes with it. `block_size` promises that every block
    // is a multiple of it, which lowers the delay; 1 is no promise.
    explicit Processor(const std::vector<std::filesystem::path>& models, size_t block_size = 1)
        : block_size_(std::max<size_t>(block_size, 1)) {
        for (const auto& file : models) chain_.push_back(std::make_unique<Model>(file));
        const bool alone = chain_.size() == 1 && chain_[0]->kind == "denoiser";
        const bool pair = chain_.size() == 2 && ((chain_[0]->kind == "encoder" && chain_[1]->kind == "decoder") ||
                                                 (chain_[0]->kind == "vae-encoder" && chain_[1]->kind == "vae-decoder"));
        if (!alone && !pair) throw std::runtime_error("a denoiser is wanted, or an encoder and its decoder");
        const Model &first = *chain_.front(), &last = *chain_.back();
        if (first.sample_rate != last.sample_rate || first.hop != last.hop ||
            first.codes.size() != last.codes.size() || first.latents.size() != last.latents.size())
            throw std::runtime_error("the encoder and the decoder do not belong together");
        // Zeros that keep the queue of finished samples from running dry, whatever the blocks.
        padding_ = hop() - std::gcd(block_size_, hop());
        delay_ = padding_ + first.delay + (pair ? last.delay : 0);
        ready_.resize(padding_ + block_size_ + hop());
        reset();
    }

    size_t sample_rate() const { return chain_[0]->sample_rate; }
    size_t hop() const { return chain_[0]->hop; }
    size_t delay() const { return delay_; }
    bool denoises() const { return chain_.size() == 1; }
    float speech() const { return chain_[0]->speech[0]; }                  // of a denoiser
    void set_attenuation_limit_db(float decibels) { chain_[0]->limit[0] = decibels; }  // of a denoiser

    // Allocates nothing of its own. `input` and `output` may be the same.
    void process(const float* input, float* output, size_t count) {
        if (count % block_size_) throw std::invalid_argument("the block breaks the promised block size");
        std::vector<float>& audio = chain_[0]->audio;
        for (const float* const end = input + count; input != end; input += block_size_, output += block_size_) {
            for (size_t at = 0; at < block_size_; ++at) {
                audio[filled_++] = std::isfinite(input[at]) ? input[at] : 0.0f;
                if (filled_ == audio.size()) step();
            }
            for (size_t at = 0; at < block_size_; ++at) output[at] = ready_[read_++ % ready_.size()];
        }
    }

    void reset() {
        for (auto& model : chain_) model->reset();
        std::fill(ready_.begin(), ready_.end(), 0.0f);
        filled_ = read_ = 0;
        written_ = padding_;
    }

private:
    void step() {
        Model &first = *chain_.front(), &last = *chain_.back();
        first.step();
        if (&first != &last) {
            std::copy(first.codes.begin(), first.codes.end(), last.codes.begin());
            std::copy(first.latents.begin(), first.latents.end(), last.latents.begin());
            last.step();
        }
        for (const float sample : last.audio_out) ready_[written_++ % ready_.size()] = sample;
        filled_ = 0;
    }

    std::vector<std::unique_ptr<Model>> chain_;
    size_t block_size_, delay_ = 0, padding_ = 0, filled_ = 0, read_ = 0, written_ = 0;
    std::vector<float> ready_;
};

}  // namespace rtae
