// Wave files, as far as an example needs them: 16-bit and float in, float out, any channels, little-endian machines.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

struct Wave {
    uint32_t sample_rate = 0;
    uint16_t channels = 0;
    std::vector<float> samples;  // interleaved
};

inline Wave read_wave(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot open " + path);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    const auto tag = [&](size_t at, const char* name) { return std::memcmp(&bytes[at], name, 4) == 0; };
    const auto value = [&](size_t at, size_t size) {
        uint32_t number = 0;
        std::memcpy(&number, &bytes[at], size);
        return number;
    };
    if (bytes.size() < 12 || !tag(0, "RIFF") || !tag(8, "WAVE")) throw std::runtime_error(path + " is no wave file");
    Wave wave;
    uint32_t format = 0, bits = 0;
    for (size_t at = 12; at + 8 <= bytes.size();) {
        const size_t body = at + 8, size = std::min<size_t>(value(at + 4, 4), bytes.size() - body);
        if (tag(at, "fmt ") && size >= 16) {
            format = value(body, 2);
            if (format == 0xFFFE && size >= 26) format = value(body + 24, 2);  // extensible: the real one is inside
            wave.channels = static_cast<uint16_t>(value(body + 2, 2));
            wave.sample_rate = value(body + 4, 4);
            bits = value(body + 14, 2);
        } else if (tag(at, "data")) {
            const bool is_float = format == 3 && bits == 32;
            if (!wave.channels || !(is_float || (format == 1 && bits == 16)))
                throw std::runtime_error(path + " is neither 16-bit nor float; convert it first");
            for (size_t sample = body; sample + bits / 8 <= body + size; sample += bits / 8) {
                float number = static_cast<float>(static_cast<int16_t>(value(sample, 2))) / 32768.0f;
                if (is_float) std::memcpy(&number, &bytes[sample], 4);
                wave.samples.push_back(number);
            }
            wave.samples.resize(wave.samples.size() / wave.channels * wave.channels);
            return wave;
        }
        at = body + size + size % 2;
    }
    throw std::runtime_error(path + " has no audio in it");
}

inline float mono(const Wave& wave, size_t frame) {
    float sum = 0.0f;
    for (size_t channel = 0; channel < wave.channels; ++channel) sum += wave.samples[frame * wave.channels + channel];
    return sum / static_cast<float>(wave.channels);
}

inline void require_rate(const Wave& wave, const std::string& path, size_t sample_rate) {
    if (sample_rate != wave.sample_rate)
        throw std::runtime_error("the model works at " + std::to_string(sample_rate) + " Hz, " + path + " is at " +
                                 std::to_string(wave.sample_rate) + " Hz; convert it first");
}

inline void write_wave(const std::string& path, const Wave& wave) {
    const auto size = static_cast<uint32_t>(wave.samples.size() * sizeof(float));
    std::ofstream file(path, std::ios::binary);
    const auto put = [&](uint32_t number, int bytes) { file.write(reinterpret_cast<const char*>(&number), bytes); };
    file.write("RIFF", 4), put(36 + size, 4), file.write("WAVEfmt ", 8), put(16, 4), put(3, 2), put(wave.channels, 2);
    put(wave.sample_rate, 4), put(wave.sample_rate * wave.channels * 4, 4), put(wave.channels * 4u, 2), put(32, 2);
    file.write("data", 4), put(size, 4);
    file.write(reinterpret_cast<const char*>(wave.samples.data()), size);
    if (!file.flush()) {
        std::remove(path.c_str());
        throw std::runtime_error("cannot write " + path);
    }
}
