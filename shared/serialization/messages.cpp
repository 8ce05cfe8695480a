#include "serialization/messages.hpp"

#include <array>
#include <utility>

namespace stillpoint::serialization {
namespace {

/// A message's own limits, tighter than a document's: a megabyte of one-byte integers would unfold
/// to some 60 MiB. 65,536 elements are more than 8,000 volumes.
constexpr DocumentLimits message_limits{.bytes_max = limits::frame_bytes_max,
                                        .depth_max = 16,
                                        .items_max = 65'536,
                                        .string_bytes_max = limits::frame_bytes_max};
constexpr std::size_t refused_text_bytes_max = 4096;

using Reader = Result<Message> (*)(const Value& body, const std::string& where);
struct Kind {
    std::string_view name;
    Reader read;
};

template <class T>
Result<Message> read_as(const Value& body, const std::string& where) {
    SP_ASSIGN(T item, from_value<T>(body, where));
    return Message{std::move(item)};
}

template <std::size_t... I>
constexpr auto make_kinds(std::index_sequence<I...>) {
    return std::array{Kind{std::variant_alternative_t<I, Message>::kind,
                           &read_as<std::variant_alternative_t<I, Message>>}...};
}

/// One row per alternative of Message, in its order; row 0 is Unknown and has no name of its own.
constexpr auto kinds = make_kinds(std::make_index_sequence<std::variant_size_v<Message>>{});

constexpr bool names_differ() {
    for (std::size_t a = 0; a < kinds.size(); ++a) {
        for (std::size_t b = a + 1; b < kinds.size(); ++b) {
            if (kinds[a].name == kinds[b].name) return false;
        }
    }
    return true;
}
static_assert(names_differ() && kinds[0].name.empty());

Value document_of(const Message& message) {
    Map out;
    out["kind"] = Value{kind_of(message)};
    out["body"] = std::visit(
        []<class T>(const T& item) {
            if constexpr (std::is_same_v<T, Unknown>) return Value{Map{}};
            return to_value(item);
        },
        message);
    return out;
}

}  // namespace

std::string_view kind_of(const Message& message) {
    if (const auto* unknown = std::get_if<Unknown>(&message)) return unknown->name;
    return kinds[message.index()].name;
}

Bytes encode_message(const Message& message) {
    Bytes out = to_cbor(document_of(message));
    if (out.size() <= limits::frame_bytes_max) return out;
    std::string text{kind_of(message).substr(0, limits::name_bytes_max)};
    text += " would have " + std::to_string(out.size()) + " bytes";
    if (const auto* failure = std::get_if<Failure>(&message)) {
        text += ": " + failure->text.substr(0, refused_text_bytes_max);
    }
    return to_cbor(document_of(Failure{"protocol.too_large", false, text}));
}

Result<Message> decode_message(ByteView cbor) {
    SP_ASSIGN(const Value document, parse_cbor(cbor, message_limits));
    const Value* kind = document.find("kind");
    const Value* body = document.find("body");
    if (kind == nullptr || kind->text() == nullptr || body == nullptr || body->map() == nullptr) {
        return fail(Errc::corrupt, "message.malformed",
                    "message: expected an object with a text \"kind\" and an object \"body\"");
    }
    const std::string& name = *kind->text();
    if (name.empty() || name.size() > limits::name_bytes_max) {
        return fail(Errc::corrupt, "message.malformed",
                    "message: the kind's name has a bad length");
    }
    for (const Kind& row : kinds) {
        if (row.name == name) return row.read(*body, name);
    }
    return Message{Unknown{name}};
}

std::string message_to_json(const Message& message) {
    return to_json(document_of(message));
}

}  // namespace stillpoint::serialization
