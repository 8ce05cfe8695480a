#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <new>

#include "abi/session.hpp"
#include "stillpoint/host_plugin.h"

/// The C edge: everything is caught, memory is malloc'ed here and freed here.
struct sp_session {
    sp_session(stillpoint::abi::HostConfig config, const sp_manager& manager)
        : jobs(std::move(config), manager) {}
    stillpoint::abi::Session jobs;
};

namespace stillpoint::abi {
namespace {

constexpr std::uint32_t manager_bytes_min =
    offsetof(sp_manager, hypervisor) + sizeof(sp_manager::hypervisor);

sp_text to_text(const std::string& text) {
    char* data = static_cast<char*>(std::malloc(text.size() + 1));
    if (data == nullptr) return {nullptr, 0};
    std::memcpy(data, text.c_str(), text.size() + 1);
    return {data, text.size()};
}

void put_text(sp_text* out, const serialization::Value& document) {
    if (out != nullptr) *out = to_text(to_json(document));
}

int failed(sp_text* out, const Error& error, int code) {
    put_text(out, error_document(error));
    return code;
}

std::string from_text(sp_text text) {
    return text.data == nullptr ? std::string{} : std::string{text.data, text.length};
}

/// Runs a body of the edge; an exception becomes SP_FAILED or SP_NO_MEMORY.
template <class Body>
int guarded(sp_text* error, Body&& body) noexcept {
    try {
        return body();
    } catch (const std::bad_alloc&) {
        return SP_NO_MEMORY;
    } catch (const std::exception& problem) {
        return failed(error, {Errc::io, "internal.exception", problem.what(), {}}, SP_FAILED);
    } catch (...) {
        return SP_FAILED;
    }
}

int open_session(const sp_manager* manager, sp_session** session, sp_text* error) noexcept {
    return guarded(error, [&] {
        if (manager == nullptr || session == nullptr || manager->struct_size < manager_bytes_min ||
            manager->abi_version != SP_ABI_VERSION || manager->hypervisor != nullptr) {
            return failed(error,
                          {Errc::invalid, "abi.manager", "the manager's struct is not usable",
                           "build the manager against this plugin's header"},
                          SP_INVALID);
        }
        auto config = parse_host_config(from_text(manager->config), "host.xml");
        if (!config) return failed(error, config.error(), SP_INVALID);
        *session = std::make_unique<sp_session>(std::move(*config), *manager).release();
        return static_cast<int>(SP_OK);
    });
}

int submit_job(sp_session* session, sp_text request, sp_text secret, std::uint64_t* job,
               sp_text* error) noexcept {
    return guarded(error, [&] {
        if (session == nullptr || job == nullptr) return static_cast<int>(SP_INVALID);
        auto document = serialization::parse_json(from_text(request));
        if (!document) return failed(error, document.error(), SP_INVALID);
        *job = session->jobs.submit(std::move(*document), from_text(secret));
        return static_cast<int>(SP_OK);
    });
}

int cancel_job(sp_session* session, std::uint64_t job) noexcept {
    return guarded(nullptr, [&] {
        if (session == nullptr) return static_cast<int>(SP_INVALID);
        return static_cast<int>(session->jobs.cancel(job) ? SP_OK : SP_NOT_FOUND);
    });
}

int wait_job(sp_session* session, std::uint64_t job, std::int64_t timeout_ms, int* exit_code,
             sp_text* result) noexcept {
    return guarded(result, [&] {
        if (session == nullptr || exit_code == nullptr) return static_cast<int>(SP_INVALID);
        JobResult ended;
        switch (session->jobs.wait(job, timeout_ms, ended)) {
            case Session::Waited::unknown:
                return static_cast<int>(SP_NOT_FOUND);
            case Session::Waited::timeout:
                return static_cast<int>(SP_TIMEOUT);
            case Session::Waited::done:
                break;
        }
        *exit_code = ended.exit_code;
        put_text(result, ended.document);
        return static_cast<int>(SP_OK);
    });
}

void close_session(sp_session* session) noexcept {
    guarded(nullptr, [&] {
        const std::unique_ptr<sp_session> ended{session};
        return static_cast<int>(SP_OK);
    });
}

void free_text(sp_text text) noexcept {
    std::free(const_cast<char*>(text.data));
}

constexpr sp_plugin plugin{.struct_size = sizeof(sp_plugin),
                           .abi_version = SP_ABI_VERSION,
                           .version = STILLPOINT_VERSION,
                           .open = open_session,
                           .submit = submit_job,
                           .cancel = cancel_job,
                           .wait = wait_job,
                           .close = close_session,
                           .free = free_text};

}  // namespace
}  // namespace stillpoint::abi

extern "C" const sp_plugin* stillpoint_host_plugin(std::uint32_t abi_version) {
    return abi_version == SP_ABI_VERSION ? &stillpoint::abi::plugin : nullptr;
}
