#include "serialization/value.hpp"

#include <limits>
#include <nlohmann/json.hpp>

#include "base/check.hpp"
#include "serialization/utf8.hpp"

namespace stillpoint::serialization {
namespace {

using Json = nlohmann::json;

/// Builds a Value from nlohmann's SAX events and stops at the first limit or foreign kind.
class Builder : public nlohmann::json_sax<Json> {
public:
    Builder(const DocumentLimits& limits, bool json) : limits_(limits), json_(json) {}

    bool null() override { return add(Value{}); }
    bool boolean(bool value) override { return add(Value{value}); }
    bool number_integer(number_integer_t value) override {
        // CBOR's negative integers reach -2^64; nlohmann wraps those beyond 63 bits round to >= 0.
        if (!json_ && value >= 0) return refuse("an integer does not fit 63 bits");
        return add(Value{std::int64_t{value}});
    }
    bool number_unsigned(number_unsigned_t value) override {
        if (value > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
            return refuse("an integer does not fit 63 bits");
        }
        return add(Value{static_cast<std::int64_t>(value)});
    }
    bool number_float(number_float_t value, const string_t&) override {
        return json_ ? add(Value{value}) : refuse("floating-point numbers are not allowed");
    }
    bool string(string_t& value) override {
        return good_text(value) && add(Value{std::move(value)});
    }
    bool binary(binary_t&) override { return refuse("byte strings are not allowed"); }
    bool start_object(std::size_t) override { return open(Value{Map{}}); }
    bool start_array(std::size_t) override { return open(Value{Array{}}); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }
    bool key(string_t& value) override {
        if (!good_text(value)) return false;
        if (stack_.back()->map()->contains(value)) return refuse("duplicate key");
        key_ = std::move(value);
        return true;
    }
    bool parse_error(std::size_t position, const std::string&, const Json::exception&) override {
        return refuse("malformed at byte " + std::to_string(position));
    }

    Result<Value> take() && {
        if (!problem_.empty())
            return fail(Errc::corrupt, "document.malformed", "document: " + problem_);
        return std::move(root_);
    }
    bool refuse(std::string problem) {
        if (problem_.empty()) problem_ = std::move(problem);
        return false;
    }

private:
    bool good_text(const std::string& text) {
        if (text.size() > limits_.string_bytes_max) return refuse("a string is too long");
        // nlohmann checks UTF-8 in JSON only.
        return json_ || is_utf8(text) || refuse("a string is not UTF-8");
    }
    Value* place(Value value) {
        if (stack_.empty()) {
            root_ = std::move(value);
            return &root_;
        }
        if (Array* array = stack_.back()->array()) {
            array->push_back(std::move(value));
            return &array->back();
        }
        Value& slot = (*stack_.back()->map())[key_];
        slot = std::move(value);
        return &slot;
    }
    bool add(Value value) {
        if (++items_ > limits_.items_max) return refuse("too many elements");
        place(std::move(value));
        return true;
    }
    bool open(Value container) {
        if (++items_ > limits_.items_max) return refuse("too many elements");
        if (stack_.size() >= static_cast<std::size_t>(limits_.depth_max)) {
            return refuse("nested too deeply");
        }
        // A pointer into a parent's vector stays valid while the child is open: the parent grows
        // only after the child was closed.
        stack_.push_back(place(std::move(container)));
        return true;
    }
    bool close() {
        stack_.pop_back();
        return true;
    }

    DocumentLimits limits_;
    bool json_;
    Value root_;
    std::vector<Value*> stack_;
    std::string key_;
    std::string problem_;
    std::size_t items_ = 0;
};

Result<Value> parse(ByteView bytes, const DocumentLimits& limits, Json::input_format_t format) {
    Builder builder{limits, format == Json::input_format_t::json};
    if (bytes.size() > limits.bytes_max) {
        builder.refuse("larger than " + std::to_string(limits.bytes_max) + " bytes");
        return std::move(builder).take();
    }
    const auto* first = reinterpret_cast<const std::uint8_t*>(bytes.data());
    if (!Json::sax_parse(first, first + bytes.size(), &builder, format, true)) {
        builder.refuse("malformed");
    }
    return std::move(builder).take();
}

Json to_nlohmann(const Value& value) {
    if (const auto* b = value.boolean()) return *b;
    if (const auto* i = value.integer()) return *i;
    if (const auto* d = value.real()) return *d;
    if (const auto* t = value.text()) return to_utf8(*t);
    if (const auto* a = value.array()) {
        Json out = Json::array();
        for (const Value& item : *a) out.push_back(to_nlohmann(item));
        return out;
    }
    if (const auto* m = value.map()) {
        Json out = Json::object();
        for (const auto& [key, item] : *m) out[to_utf8(key)] = to_nlohmann(item);
        return out;
    }
    return nullptr;
}

bool holds_real(const Value& value) {
    if (value.real() != nullptr) return true;
    if (const auto* a = value.array()) {
        for (const Value& item : *a) {
            if (holds_real(item)) return true;
        }
    }
    if (const auto* m = value.map()) {
        for (const auto& [key, item] : *m) {
            if (holds_real(item)) return true;
        }
    }
    return false;
}

}  // namespace

Value::Value(std::uint64_t value) : data_(static_cast<std::int64_t>(value)) {
    SP_CHECK(value <= std::uint64_t{std::numeric_limits<std::int64_t>::max()});
}

const Value* Value::find(std::string_view key) const {
    const Map* members = map();
    if (members == nullptr) return nullptr;
    const auto found = members->find(std::string(key));
    return found == members->end() ? nullptr : &found->second;
}

std::string Value::text_or(std::string_view key, std::string fallback) const {
    const Value* member = find(key);
    if (member == nullptr || member->text() == nullptr) return fallback;
    return *member->text();
}

std::int64_t Value::integer_or(std::string_view key, std::int64_t fallback) const {
    const Value* member = find(key);
    return member != nullptr && member->integer() != nullptr ? *member->integer() : fallback;
}

bool Value::boolean_or(std::string_view key, bool fallback) const {
    const Value* member = find(key);
    return member != nullptr && member->boolean() != nullptr ? *member->boolean() : fallback;
}

Result<Value> parse_json(std::string_view text, const DocumentLimits& limits) {
    return parse(as_bytes(text), limits, Json::input_format_t::json);
}

Result<Value> parse_cbor(ByteView bytes, const DocumentLimits& limits) {
    return parse(bytes, limits, Json::input_format_t::cbor);
}

std::string to_json(const Value& value, JsonStyle style) {
    return to_nlohmann(value).dump(style == JsonStyle::indented ? 2 : -1, ' ', false,
                                   Json::error_handler_t::replace);
}

Bytes to_cbor(const Value& value) {
    SP_CHECK(!holds_real(value));
    const std::vector<std::uint8_t> cbor = Json::to_cbor(to_nlohmann(value));
    return to_bytes(std::as_bytes(std::span(cbor)));
}

}  // namespace stillpoint::serialization
