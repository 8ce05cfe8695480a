#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.hpp"
#include "base/limits.hpp"
#include "base/result.hpp"

namespace stillpoint::serialization {

class Value;
using Array = std::vector<Value>;
using Map = std::map<std::string, Value>;  // sorted keys make the bytes stable

/// A document: what JSON and CBOR have in common. Integers are signed 64 bits (sizes in bytes,
/// durations in nanoseconds); doubles exist for the JSON twin alone, never on the wire.
class Value {
public:
    // `{"key", 5}` is the point of this type.
    // NOLINTBEGIN(google-explicit-constructor)
    Value() = default;
    Value(std::nullptr_t) {}
    Value(bool value) : data_(value) {}
    Value(int value) : data_(std::int64_t{value}) {}
    Value(std::int64_t value) : data_(value) {}
    Value(std::uint64_t value);
    Value(double value) : data_(value) {}
    Value(std::string value) : data_(std::move(value)) {}
    Value(std::string_view value) : data_(std::string(value)) {}
    Value(const char* value) : data_(std::string(value)) {}
    Value(Array value) : data_(std::move(value)) {}
    Value(Map value) : data_(std::move(value)) {}
    // NOLINTEND(google-explicit-constructor)

    [[nodiscard]] bool is_null() const { return std::holds_alternative<std::nullptr_t>(data_); }
    [[nodiscard]] const bool* boolean() const { return std::get_if<bool>(&data_); }
    [[nodiscard]] const std::int64_t* integer() const { return std::get_if<std::int64_t>(&data_); }
    [[nodiscard]] const double* real() const { return std::get_if<double>(&data_); }
    [[nodiscard]] const std::string* text() const { return std::get_if<std::string>(&data_); }
    [[nodiscard]] const Array* array() const { return std::get_if<Array>(&data_); }
    [[nodiscard]] const Map* map() const { return std::get_if<Map>(&data_); }
    [[nodiscard]] Array* array() { return std::get_if<Array>(&data_); }
    [[nodiscard]] Map* map() { return std::get_if<Map>(&data_); }

    /// @return the member, or null when this is no map or has no such key; valid until changed
    [[nodiscard]] const Value* find(std::string_view key) const;
    /// @return text/integer/boolean of a member, or the fallback when absent or of another kind
    [[nodiscard]] std::string text_or(std::string_view key, std::string fallback = {}) const;
    [[nodiscard]] std::int64_t integer_or(std::string_view key, std::int64_t fallback) const;
    [[nodiscard]] bool boolean_or(std::string_view key, bool fallback) const;

    friend bool operator==(const Value&, const Value&) = default;

private:
    std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, Array, Map> data_;
};

struct DocumentLimits {
    std::size_t bytes_max = limits::document_bytes_max;
    int depth_max = limits::document_depth_max;
    std::size_t items_max = limits::document_items_max;
    std::size_t string_bytes_max = limits::document_string_bytes_max;
};

/// Parses exactly one document; nothing may follow it.
/// @errors corrupt: malformed, over a limit, an integer beyond 63 bits, invalid UTF-8, duplicate
/// key
[[nodiscard]] Result<Value> parse_json(std::string_view text, const DocumentLimits& limits = {});
/// As parse_json, for RFC 8949 CBOR; refuses byte strings, tags, floats and non-text keys.
[[nodiscard]] Result<Value> parse_cbor(ByteView bytes, const DocumentLimits& limits = {});

enum class JsonStyle { compact, indented };
/// @return UTF-8 JSON, keys sorted; invalid UTF-8 in strings becomes U+FFFD
[[nodiscard]] std::string to_json(const Value& value, JsonStyle style = JsonStyle::compact);
/// @return CBOR with sorted keys and shortest integers; invalid UTF-8 in strings becomes U+FFFD; a
/// double is a broken assumption (SP_CHECK)
[[nodiscard]] Bytes to_cbor(const Value& value);

}  // namespace stillpoint::serialization
