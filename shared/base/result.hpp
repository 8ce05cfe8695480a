#pragma once
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace stillpoint {

/// What a program decides on after a failure. Few on purpose: each answers "what next?".
enum class Errc {
    io,           // the outside world failed: disk, socket, process; exit 1
    not_found,    // the named object does not exist; exit 1
    corrupt,      // stored bytes are not what was written: damage; exit 4
    invalid,      // a caller's or user's value is unusable: usage; exit 2
    unsupported,  // the other side cannot do that; exit 1
    timeout,      // a deadline passed; exit 1
    cancelled,    // the user or a signal asked to stop; exit 130
    busy,         // somebody else holds it: retry later; exit 1
    denied,       // wrong key or missing permission; exit 1
    no_space,     // a store or scratch is full; exit 1
    refused,      // our own rule says no (for example --require); exit 1
};

/// A failure: for programs (`code`, `id`) and for people (`text`, `remedy`).
struct Error {
    Errc code = Errc::io;
    std::string id;      // dotted and stable, e.g. "vault.wrong_key"; scripts rely on it
    std::string text;    // what happened, to which object
    std::string remedy;  // what to do next; may be empty
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

/// @return an unexpected Error for `return fail(...)`.
[[nodiscard]] inline tl::unexpected<Error> fail(Errc code, std::string id, std::string text,
                                                std::string remedy = {}) {
    return tl::unexpected<Error>(Error{code, std::move(id), std::move(text), std::move(remedy)});
}

[[nodiscard]] inline tl::unexpected<Error> fail(Error error) {
    return tl::unexpected<Error>(std::move(error));
}

/// Names the step in which an error passed through; use once per layer.
[[nodiscard]] inline Error in_step(std::string_view step, Error error) {
    error.text = std::string(step) + ": " + error.text;
    return error;
}

}  // namespace stillpoint

#define SP_JOIN2(a, b) a##b
#define SP_JOIN(a, b) SP_JOIN2(a, b)
/// Returns the Error of `expr` from the enclosing function when it failed.
#define SP_TRY2(tmp, expr)                                                              \
    do {                                                                                \
        if (auto tmp = (expr); !tmp) return ::stillpoint::fail(std::move(tmp).error()); \
    } while (false)
#define SP_TRY(expr) SP_TRY2(SP_JOIN(sp_try_, __LINE__), expr)
/// Declares `var` with the value of `expr`, or returns its Error.
#define SP_ASSIGN2(tmp, var, expr)                               \
    auto tmp = (expr);                                           \
    if (!tmp) return ::stillpoint::fail(std::move(tmp).error()); \
    var = std::move(tmp).value()
#define SP_ASSIGN(var, expr) SP_ASSIGN2(SP_JOIN(sp_try_, __LINE__), var, expr)
