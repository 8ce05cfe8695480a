#include "abi/config_keys.hpp"

#include "abi/config_values.hpp"
#include "policy/retention.hpp"
#include "vault/s3/retention.hpp"

namespace stillpoint::abi {
namespace {

using Setter = decltype(ConfigKey::set);

Setter path_into(env::Path HostConfig::*member) {
    return [member](HostConfig& config, const std::string& text) -> Status {
        if (!text.starts_with('/'))
            return fail(Errc::invalid, "config.path", "not an absolute path");
        config.*member = text;
        return {};
    };
}

Setter s3_text(std::string vault::S3Config::*member) {
    return [member](HostConfig& config, const std::string& text) -> Status {
        if (text.empty()) return fail(Errc::invalid, "config.text", "empty");
        config.s3.*member = text;
        return {};
    };
}

Setter s3_path(std::string vault::S3Config::*member) {
    return [set = s3_text(member)](HostConfig& config, const std::string& text) -> Status {
        if (text.starts_with('/')) return set(config, text);
        return fail(Errc::invalid, "config.path", "not an absolute path");
    };
}

Status set_s3_addressing(HostConfig& config, const std::string& text) {
    if (text != "path" && text != "virtual") return fail(Errc::invalid, "config.text", "neither");
    config.s3.addressing = text;
    return {};
}

constexpr std::uint64_t scratch_budget_min = 32u << 20;  // twice the least room for one disk
constexpr std::uint64_t cache_bytes_min = 8u << 20;      // a few maps and segments
constexpr std::uint64_t bandwidth_min = 64u << 10;       // slower, and a backup never ends
constexpr std::uint64_t read_ahead_min = 256u << 10;     // one request
constexpr std::uint64_t read_ahead_max = 256u << 20;
constexpr env::Nanoseconds write_latency_min = std::chrono::milliseconds{10};
constexpr env::Nanoseconds write_latency_most = std::chrono::seconds{60};

struct DurationRange {
    env::Nanoseconds min, max;
};

Setter duration_into(env::Nanoseconds HostConfig::*member, DurationRange range) {
    return [member, range](HostConfig& config, const std::string& text) -> Status {
        SP_ASSIGN(const env::Nanoseconds value, parse_duration(text));
        if (value < range.min || value > range.max) {
            return fail(Errc::invalid, "config.duration", "out of range");
        }
        config.*member = value;
        return {};
    };
}

constexpr std::uint64_t audit_chunks_max = 65536;
constexpr std::uint64_t compare_days_max = 3650, compare_increments_max = 10000;

constexpr std::uint64_t guest_retries_max = 10;

Status set_guest_retries(HostConfig& config, const std::string& text) {
    SP_ASSIGN(config.guest_retries, parse_plain(text, guest_retries_max));
    return {};
}

Status set_audit_chunks(HostConfig& config, const std::string& text) {
    SP_ASSIGN(config.audit.chunks, parse_plain(text, audit_chunks_max));
    return {};
}

Status set_compare_every(HostConfig& config, const std::string& text) {
    route::ComparePolicy policy{.age = std::chrono::days{0}, .increments = 0};
    if (text != "never") {
        SP_ASSIGN(const Counted counted, parse_counted(text, compare_increments_max));
        const bool days = counted.unit == "d" && counted.number <= compare_days_max;
        if (counted.number == 0 || (!days && !counted.unit.empty())) {
            return fail(Errc::invalid, "config.number", "neither days nor a number of increments");
        }
        if (days) policy.age = std::chrono::days{counted.number};
        if (!days) policy.increments = counted.number;
    }
    config.compare = policy;
    return {};
}

Status set_s3_lock(HostConfig& config, const std::string& text) {
    SP_ASSIGN(const Counted counted, parse_counted(text, vault::s3::lock_days_max));
    if (counted.unit != "d" || counted.number == 0) {
        return fail(Errc::invalid, "config.number", "not a number of days");
    }
    config.s3.lock_days = static_cast<unsigned>(counted.number);
    return {};
}

Status set_s3_lock_mode(HostConfig& config, const std::string& text) {
    const bool compliance = text == "compliance";
    if (!compliance && text != "governance") {
        return fail(Errc::invalid, "config.text", "neither governance nor compliance");
    }
    config.s3.lock_mode = compliance ? vault::LockMode::compliance : vault::LockMode::governance;
    return {};
}

Status out_of_range() {
    return fail(Errc::invalid, "config.size", "out of range");
}

Status set_cache_size(HostConfig& config, const std::string& text) {
    config.cache_bytes = 0;
    if (text == "none") return {};
    SP_ASSIGN(const ByteCount size, parse_size(text));
    if (size.raw() < cache_bytes_min) return out_of_range();
    config.cache_bytes = size.raw();
    return {};
}

Status set_scratch_budget(HostConfig& config, const std::string& text) {
    SP_ASSIGN(const ByteCount size, parse_size(text));
    if (size.raw() < scratch_budget_min) return out_of_range();
    config.scratch_budget = size;
    return {};
}

Status set_bandwidth(HostConfig& config, const std::string& text) {
    config.limits.bytes_per_second_max = 0;
    if (text == "none") return {};
    constexpr std::string_view per_second = "/s";
    if (!text.ends_with(per_second)) {
        return fail(Errc::invalid, "config.size", "not a size and /s");
    }
    SP_ASSIGN(const ByteCount size, parse_size(text.substr(0, text.size() - per_second.size())));
    if (size.raw() < bandwidth_min) return out_of_range();
    config.limits.bytes_per_second_max = size.raw();
    return {};
}

Status set_read_ahead(HostConfig& config, const std::string& text) {
    SP_ASSIGN(const ByteCount size, parse_size(text));
    if (size.raw() < read_ahead_min || size.raw() > read_ahead_max) return out_of_range();
    config.limits.read_ahead = size;
    return {};
}

Status set_write_latency(HostConfig& config, const std::string& text) {
    config.limits.write_latency_max = env::Nanoseconds{};
    if (text == "none") return {};
    SP_ASSIGN(const env::Nanoseconds latency, parse_duration(text));
    if (latency < write_latency_min || latency > write_latency_most) return out_of_range();
    config.limits.write_latency_max = latency;
    return {};
}

Status set_data_deltas(HostConfig& config, const std::string& value) {
    if (value != "local" && value != "never") return fail(Errc::invalid, "config.text", "neither");
    config.data_deltas =
        value == "local" ? vault::DataDeltas::local_stores : vault::DataDeltas::never;
    return {};
}

constexpr std::uint64_t kept_max = 9999;

Setter kept_into(std::uint32_t serialization::RetentionRules::*member) {
    return [member](HostConfig& config, const std::string& text) -> Status {
        SP_ASSIGN(const std::uint64_t number, parse_plain(text, kept_max));
        config.retention.*member = static_cast<std::uint32_t>(number);
        return {};
    };
}

Setter rule_into(std::string serialization::RetentionRules::*member) {
    return [member](HostConfig& config, const std::string& text) -> Status {
        if (text.empty()) return fail(Errc::invalid, "config.text", "empty");
        config.retention.*member = text;
        return policy::check_rules(config.retention);
    };
}

}  // namespace

const std::vector<ConfigKey>& known_keys() {
    using namespace std::chrono_literals;
    using Rules = serialization::RetentionRules;
    static const std::vector<ConfigKey> keys{
        {"state", "dir", "an absolute path", path_into(&HostConfig::state_folder)},
        {"run", "dir", "an absolute path", path_into(&HostConfig::run_folder)},
        {"scratch", "dir", "an absolute path", path_into(&HostConfig::scratch_folder)},
        {"scratch", "budget", "a size from 32MiB on, for example 20GiB", set_scratch_budget},
        {"vault", "stall", "5s to 24h", duration_into(&HostConfig::store_stall, {5s, 24h})},
        {"vault", "deltas", "local or never", set_data_deltas},
        {"s3", "endpoint", "a URL, for example https://s3.example.org",
         s3_text(&vault::S3Config::endpoint)},
        {"s3", "region", "a region's name", s3_text(&vault::S3Config::region)},
        {"s3", "addressing", "path or virtual", set_s3_addressing},
        {"s3", "ca", "an absolute path", s3_path(&vault::S3Config::ca_file)},
        {"s3", "credentials", "an absolute path", s3_path(&vault::S3Config::credentials_file)},
        {"s3", "credentials-command", "a command", s3_text(&vault::S3Config::credentials_command)},
        {"s3", "lock", "1d to 36500d", set_s3_lock},
        {"s3", "lock-mode", "governance or compliance", set_s3_lock_mode},
        {"cache", "dir", "an absolute path", path_into(&HostConfig::cache_folder)},
        {"cache", "size", "a size from 8MiB on, for example 256MiB, or none", set_cache_size},
        {"limits", "bandwidth", "a size from 64KiB on and /s, for example 100MiB/s, or none",
         set_bandwidth},
        {"limits", "read-ahead", "256KiB to 256MiB", set_read_ahead},
        {"limits", "write-latency", "10ms to 60s, or none", set_write_latency},
        {"keeper", "path", "an absolute path", path_into(&HostConfig::keeper)},
        {"guest", "freeze-budget", "1s to 30s",
         duration_into(&HostConfig::freeze_budget, {1s, 30s})},
        {"guest", "hooks-budget", "1s to 60min",
         duration_into(&HostConfig::hooks_budget, {1s, 1h})},
        {"guest", "greet-budget", "100ms to 60s",
         duration_into(&HostConfig::greet_budget, {100ms, 60s})},
        {"guest", "retries", "0 to 10", set_guest_retries},
        {"guest", "retry-pause", "1s to 24h",
         duration_into(&HostConfig::guest_retry_pause, {1s, 24h})},
        {"audit", "chunks", "0 to 65536", set_audit_chunks},
        {"audit", "compare-every", "1d to 3650d, 1 to 10000 (increments), or never",
         set_compare_every},
        {"retention", "last", "0 to 9999", kept_into(&Rules::last)},
        {"retention", "hourly", "0 to 9999", kept_into(&Rules::hourly)},
        {"retention", "daily", "0 to 9999", kept_into(&Rules::daily)},
        {"retention", "weekly", "0 to 9999", kept_into(&Rules::weekly)},
        {"retention", "monthly", "0 to 9999", kept_into(&Rules::monthly)},
        {"retention", "yearly", "0 to 9999", kept_into(&Rules::yearly)},
        {"retention", "within", "a number and h, d or w, for example 30d",
         rule_into(&Rules::within)},
        {"retention", "zone", "a time zone that this host knows, for example Europe/Berlin",
         rule_into(&Rules::zone)},
    };
    return keys;
}

}  // namespace stillpoint::abi
