#include "hypervisor/qmp/message.hpp"

namespace stillpoint::hypervisor::qmp {
namespace {

using serialization::Value;

tl::unexpected<Error> malformed(const std::string& what) {
    return fail(Errc::corrupt, "qmp.malformed", "QMP: " + what,
                "check that the socket is a QMP monitor (-qmp unix:PATH,server=on,wait=off)");
}

std::optional<std::int64_t> id_of(const Value& message) {
    const Value* id = message.find("id");
    if (id == nullptr || id->integer() == nullptr) return std::nullopt;
    return *id->integer();
}

Result<Message> greeting_of(const Value& qmp) {
    const Value* version = qmp.find("version");
    const Value* qemu = version == nullptr ? nullptr : version->find("qemu");
    if (qemu == nullptr) return malformed("a greeting without a version");
    return Greeting{Version{qemu->integer_or("major", 0), qemu->integer_or("minor", 0),
                            qemu->integer_or("micro", 0)}};
}

}  // namespace

Result<Message> parse_message(std::string_view text) {
    const auto parsed = serialization::parse_json(
        text, {.bytes_max = message_bytes_max, .depth_max = message_depth_max});
    if (!parsed) return malformed(parsed.error().text);
    if (const Value* qmp = parsed->find("QMP")) return greeting_of(*qmp);
    if (const Value* value = parsed->find("return")) {
        const auto id = id_of(*parsed);
        if (!id) return malformed("a reply without the id of its command");
        return Reply{*id, *value};
    }
    if (const Value* error = parsed->find("error")) {
        return Refusal{id_of(*parsed), error->text_or("class", "GenericError"),
                       error->text_or("desc", "no description")};
    }
    if (const Value* event = parsed->find("event"); event != nullptr && event->text() != nullptr) {
        const Value* data = parsed->find("data");
        return Event{*event->text(), data == nullptr ? Value{} : *data};
    }
    return malformed("a message that is neither reply, error, event nor greeting");
}

MessageSplitter::Step MessageSplitter::step(char c) {
    if (in_string_) {
        if (escaped_) {
            escaped_ = false;
        } else if (c == '\\') {
            escaped_ = true;
        } else if (c == '"') {
            in_string_ = false;
        }
        return Step::more;
    }
    if (depth_ == 0 && c != '{') {
        return c == ' ' || c == '\r' || c == '\n' || c == '\t' ? Step::more : Step::garbage;
    }
    if (c == '"') in_string_ = true;
    if (c == '{') ++depth_;
    if (c == '}' && --depth_ == 0) return Step::complete;
    return Step::more;
}

Result<std::optional<std::string>> MessageSplitter::next() {
    while (!broken_ && scanned_ < buffer_.size()) {
        const Step found = step(buffer_[scanned_++]);
        if (found == Step::complete) {
            const std::size_t start = buffer_.find('{');  // white space may stand before it
            std::string object = buffer_.substr(start, scanned_ - start);
            buffer_.erase(0, scanned_);
            scanned_ = 0;
            return std::optional{std::move(object)};
        }
        broken_ = found == Step::garbage || scanned_ > bytes_max_;
    }
    if (broken_) {
        return malformed(depth_ == 0
                             ? "bytes that are no JSON object"
                             : "a message of more than " + std::to_string(bytes_max_) + " bytes");
    }
    return std::optional<std::string>{};
}

}  // namespace stillpoint::hypervisor::qmp
