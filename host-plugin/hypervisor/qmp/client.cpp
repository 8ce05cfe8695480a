#include "hypervisor/qmp/client.hpp"

#include <algorithm>
#include <array>

namespace stillpoint::hypervisor::qmp {
namespace {

using serialization::Map;
using serialization::Value;

constexpr std::size_t read_bytes = 64u << 10;

Error refusal_error(const std::string& command, const Refusal& refusal) {
    const std::string text = command + ": " + refusal.description;
    if (refusal.error_class == "CommandNotFound") {
        return Error{Errc::unsupported, "qmp.no_such_command", text, {}};
    }
    if (refusal.error_class == "DeviceNotFound") {
        return Error{Errc::not_found, "qmp.no_such_device", text, {}};
    }
    return Error{Errc::io, "qmp.refused", text, {}};
}

}  // namespace

bool is_refusal(const Error& error) {
    return error.id == "qmp.refused" || error.id == "qmp.no_such_command" ||
           error.id == "qmp.no_such_device";
}

Result<QmpClient> QmpClient::connect(const env::Path& socket, const env::Deadline& deadline) {
    SP_ASSIGN(auto connected, env::UnixSocket::connect(socket, deadline));
    return greet(std::move(connected), socket.string(), deadline);
}

Result<QmpClient> QmpClient::greet(env::UnixSocket socket, const std::string& name,
                                   const env::Deadline& deadline) {
    QmpClient client{std::move(socket), name};
    const auto greeting = client.await_greeting(deadline);
    if (!greeting && greeting.error().code == Errc::timeout) {
        return fail(
            Errc::busy, "qmp.busy",
            "QMP monitor " + name + " sent no greeting: another client holds it",
            "give Stillpoint a monitor of its own: one more -qmp unix:PATH,server=on,wait=off");
    }
    if (!greeting) return fail(greeting.error());
    client.version_ = greeting->version;
    SP_TRY(client.run("qmp_capabilities", {}, deadline));
    return client;
}

Status QmpClient::send(const std::string& text, const env::Deadline& deadline) {
    Status sent = socket_.write_all(as_bytes(text), deadline, never_);
    if (!sent) broken_ = sent.error();  // part of the text may be on its way
    return sent;
}

// QEMU keeps what it could not deliver to a client that was killed, and the next one gets it before
// its own greeting; seen with 7.2: replies and events, the first of them perhaps cut.
Status QmpClient::skip_to_greeting(const env::Deadline& deadline) {
    constexpr std::string_view mark = "\"QMP\":";  // inside a string it would be escaped
    std::array<std::byte, read_bytes> bytes;       // filled by the read before use
    std::string seen;
    while (seen.find(mark) == std::string::npos) {
        if (seen.size() > message_bytes_max) return no_greeting();
        const auto count = socket_.read_some(bytes, deadline, never_);
        if (!count && !seen.empty()) return no_greeting();  // it speaks, but not QMP
        if (!count) return fail(count.error());
        seen += as_text(ByteView{bytes}.first(*count));
    }
    const std::size_t begin = seen.rfind('{', seen.find(mark));
    if (begin == std::string::npos) return no_greeting();
    splitter_.feed(as_bytes(std::string_view{seen}.substr(begin)));
    return {};
}

Result<Greeting> QmpClient::await_greeting(const env::Deadline& deadline) {
    SP_TRY(skip_to_greeting(deadline));
    SP_ASSIGN(const Message message, receive(deadline));
    if (const auto* greeting = std::get_if<Greeting>(&message)) return *greeting;
    return no_greeting();
}

tl::unexpected<Error> QmpClient::no_greeting() const {
    return fail(Errc::corrupt, "qmp.malformed", "QMP monitor " + name_ + " sent no greeting");
}

Result<Message> QmpClient::receive(const env::Deadline& deadline) {
    std::array<std::byte, read_bytes> bytes;  // filled by the read before use
    while (true) {
        auto text = splitter_.next();
        if (!text) {
            broken_ = text.error();
            return fail(text.error());
        }
        if (text->has_value()) {
            auto message = parse_message(**text);
            if (!message) broken_ = message.error();
            return message;
        }
        const auto count = socket_.read_some(bytes, deadline, never_);
        if (!count) {
            if (count.error().code != Errc::timeout) broken_ = count.error();
            return fail(count.error());
        }
        splitter_.feed(ByteView{bytes}.first(*count));
    }
}

std::string QmpClient::encode(const std::string& command, Map arguments) {
    Map request{{"execute", command}, {"id", ++last_id_}};
    if (!arguments.empty()) request["arguments"] = std::move(arguments);
    return to_json(Value{std::move(request)}) + "\n";
}

Result<Value> QmpClient::reply_to(std::int64_t id, const std::string& command,
                                  const env::Deadline& deadline) {
    while (true) {
        auto message = receive(deadline);
        if (!message) return fail(in_step(command, message.error()));
        if (auto* event = std::get_if<Event>(&*message)) keep(std::move(*event));
        if (auto* reply = std::get_if<Reply>(&*message); reply != nullptr && reply->id == id) {
            return std::move(reply->value);
        }
        const auto* refusal = std::get_if<Refusal>(&*message);
        if (refusal != nullptr && refusal->id.value_or(id) == id) {
            return fail(refusal_error(command, *refusal));
        }
        // Anything else answers a command whose deadline passed earlier.
    }
}

Result<Value> QmpClient::execute(const std::string& command, Map arguments,
                                 const env::Deadline& deadline) {
    if (broken_) return fail(in_step(command, *broken_));
    SP_TRY(send(encode(command, std::move(arguments)), deadline));
    return reply_to(last_id_, command, deadline);
}

Status QmpClient::run_all(const std::vector<Command>& commands, const env::Deadline& deadline) {
    if (broken_) return fail(*broken_);
    const std::int64_t first_id = last_id_ + 1;
    std::string text;
    for (const Command& command : commands) text += encode(command.name, command.arguments);
    SP_TRY(send(text, deadline));
    Status first;
    std::int64_t id = first_id;
    for (const Command& command : commands) {
        auto reply = reply_to(id++, command.name, deadline);
        if (reply || !first) continue;
        first = fail(reply.error());
        if (!is_refusal(reply.error())) break;
    }
    return first;
}

Status QmpClient::run(const std::string& command, Map arguments, const env::Deadline& deadline) {
    SP_TRY(execute(command, std::move(arguments), deadline));
    return {};
}

void QmpClient::keep(Event event) {
    if (events_.size() >= events_max) events_.pop_front();
    events_.push_back(std::move(event));
}

std::optional<Event> QmpClient::take_event(const Match& match) {
    const auto found = std::find_if(events_.begin(), events_.end(), match);
    if (found == events_.end()) return std::nullopt;
    std::optional<Event> event{std::move(*found)};
    events_.erase(found);
    return event;
}

Result<Event> QmpClient::wait_event(const Match& match, const env::Deadline& deadline) {
    while (true) {
        if (auto event = take_event(match)) return std::move(*event);
        if (broken_) return fail(*broken_);
        SP_ASSIGN(Message message, receive(deadline));
        if (auto* event = std::get_if<Event>(&message)) keep(std::move(*event));
    }
}

}  // namespace stillpoint::hypervisor::qmp
