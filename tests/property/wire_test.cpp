#include <doctest/doctest.h>

#include <algorithm>

#include "property/random_message.hpp"
#include "serialization/frame.hpp"
#include "serialization/messages.hpp"
#include "support/sample_messages.hpp"

using namespace stillpoint;
using namespace stillpoint::serialization;
using namespace stillpoint::test;

namespace {

void append(Bytes& out, ByteView more) {
    out.insert(out.end(), more.begin(), more.end());
}

/// Feeds a stream in pieces of the given sizes, the last one as often as needed.
std::vector<Frame> read_in_pieces(ByteView stream, std::vector<std::size_t> pieces) {
    FrameReader reader;
    std::vector<Frame> frames;
    const auto drain = [&] {
        while (auto frame = reader.next()) frames.push_back(std::move(*frame));
    };
    std::size_t at = 0;
    for (std::size_t i = 0; at < stream.size(); i = std::min(i + 1, pieces.size() - 1)) {
        const auto piece = stream.subspan(at, std::min(pieces[i], stream.size() - at));
        reader.feed(piece);
        at += piece.size();
        drain();
    }
    reader.give_up_partial();
    drain();
    return frames;
}

Frame random_frame() {
    const auto payload =
        *rc::gen::container<std::vector<std::uint8_t>>(rc::gen::arbitrary<std::uint8_t>());
    return {*rc::gen::arbitrary<std::uint64_t>(), *rc::gen::arbitrary<std::uint32_t>(),
            to_bytes(std::as_bytes(std::span(payload)))};
}

/// What may lie between frames: noise, a torn frame, or a piece of a magic.
Bytes random_garbage() {
    const auto noise =
        *rc::gen::container<std::vector<std::uint8_t>>(rc::gen::arbitrary<std::uint8_t>());
    const Bytes torn = encode_frame(random_frame());
    switch (*rc::gen::inRange(0, 4)) {
        case 0:
            return {};
        case 1:
            return to_bytes(std::as_bytes(std::span(noise)));
        case 2:
            return to_bytes(ByteView{torn}.first(*rc::gen::inRange<std::size_t>(0, torn.size())));
        default:
            return to_bytes(as_bytes("SPF1SPFSPF1\1"));
    }
}

/// The document without one member, for every member at every level of it.
std::vector<Value> with_one_member_less(const Value& value) {
    std::vector<Value> out;
    if (const Map* map = value.map()) {
        for (const auto& [key, member] : *map) {
            Map less = *map;
            less.erase(key);
            out.emplace_back(less);
            for (Value& inner : with_one_member_less(member)) {
                Map changed = *map;
                changed[key] = std::move(inner);
                out.emplace_back(std::move(changed));
            }
        }
    }
    if (const Array* array = value.array()) {
        for (std::size_t i = 0; i < array->size(); ++i) {
            for (Value& inner : with_one_member_less((*array)[i])) {
                Array changed = *array;
                changed[i] = std::move(inner);
                out.emplace_back(std::move(changed));
            }
        }
    }
    return out;
}

}  // namespace

TEST_CASE("property/wire: decode undoes encode, and JSON tells the same") {
    CHECK(rc::check("messages", [] {
        const Message message = random_message();
        const Bytes bytes = encode_message(message);
        const auto back = decode_message(bytes);
        RC_ASSERT(back.has_value());
        RC_ASSERT(back->index() == message.index());
        RC_ASSERT(message_to_json(*back) == message_to_json(message));
        RC_ASSERT(encode_message(*back) == bytes);
        RC_ASSERT(to_cbor(*parse_json(message_to_json(message))) == bytes);
    }));
}

TEST_CASE("property/wire: frames come through cut anywhere and with garbage between them") {
    CHECK(rc::check("frames", [] {
        Bytes stream = random_garbage();
        std::vector<Frame> sent;
        const int count = *rc::gen::inRange(0, 5);
        for (int i = 0; i < count; ++i) {
            sent.push_back(random_frame());
            append(stream, encode_frame(sent.back()));
            append(stream, random_garbage());
        }
        const auto pieces = *rc::gen::nonEmpty(
            rc::gen::container<std::vector<std::size_t>>(rc::gen::inRange<std::size_t>(1, 100)));
        RC_ASSERT(read_in_pieces(stream, pieces) == sent);
    }));
}

TEST_CASE("property/wire: every cut of two frames into three pieces") {
    const std::vector<Frame> sent{{1, 1, to_bytes(as_bytes("SPF1"))},
                                  {2, 2, to_bytes(as_bytes("xyz"))}};
    Bytes stream = encode_frame(sent[0]);
    append(stream, encode_frame(sent[1]));
    for (std::size_t a = 1; a < stream.size(); ++a) {
        for (std::size_t b = 1; a + b < stream.size(); ++b) {
            REQUIRE(read_in_pieces(stream, {a, b, stream.size()}) == sent);
        }
    }
}

TEST_CASE("property/wire: a peer that does not know a member yet is understood, whichever it is") {
    for (const Message& message : sample_messages()) {
        const Value whole = parse_json(message_to_json(message)).value();
        const Value* body = whole.find("body");
        REQUIRE(body != nullptr);
        for (Value& less : with_one_member_less(*body)) {
            const Map document{{"kind", *whole.find("kind")}, {"body", std::move(less)}};
            const auto read = decode_message(to_cbor(document));
            REQUIRE(read);
            REQUIRE(read->index() == message.index());
        }
    }
}
