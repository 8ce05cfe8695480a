#include "vault/s3/credentials.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cctype>

#include "env/files.hpp"
#include "env/process.hpp"
#include "vault/s3/answer.hpp"

namespace stillpoint::vault::s3 {
namespace {

constexpr std::size_t file_bytes_max = 1u << 20;
constexpr std::chrono::seconds command_max{30};
constexpr std::chrono::minutes renew_before{2};

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view blanks = " \t\r";
    const std::size_t from = text.find_first_not_of(blanks);
    if (from == std::string_view::npos) return {};
    return text.substr(from, text.find_last_not_of(blanks) - from + 1);
}

std::string lower(std::string_view text) {
    std::string out{text};
    std::transform(out.begin(), out.end(), out.begin(), [](char c) {
        return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    });
    return out;
}

void take(Credentials& into, const std::string& name, std::string_view value) {
    if (name == "aws_access_key_id") into.key_id = value;
    if (name == "aws_secret_access_key") into.secret = value;
    if (name == "aws_session_token") into.token = value;
    // A time that cannot be read is as good as one that has come: they are asked for again.
    if (name == "aws_credential_expiration") {
        into.expires = parse_time(value).value_or(env::Nanoseconds{1});
    }
}

tl::unexpected<Error> none(const std::string& text) {
    return fail(Errc::denied, "s3.no_credentials", text,
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a file or a command in "
                "<s3> of host.xml; see docs/stores.md");
}

/// Header lines are made of them: a line end inside would end the header.
bool usable(const Credentials& found) {
    const auto clean = [](const std::string& text) {
        return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
    };
    return !found.key_id.empty() && !found.secret.empty() && clean(found.key_id) &&
           clean(found.secret) && clean(found.token);
}

}  // namespace

Result<Credentials> parse_credentials(std::string_view text, const std::string& profile) {
    Credentials found;
    bool ours = true;
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        const std::string_view words = trimmed(line);
        if (words.empty() || words.front() == '#' || words.front() == ';') continue;
        if (words.front() == '[') {
            ours = words == "[" + profile + "]";
            continue;
        }
        const std::size_t equals = words.find('=');
        if (!ours || equals == std::string_view::npos) continue;
        take(found, lower(trimmed(words.substr(0, equals))), trimmed(words.substr(equals + 1)));
    }
    if (!usable(found)) return none("no key id and secret for profile " + profile);
    return found;
}

Result<Credentials> CredentialSource::from_file(const std::string& path) const {
    struct stat info {};
    if (::stat(path.c_str(), &info) == 0 && (info.st_mode & S_IROTH) != 0) {
        return fail(Errc::denied, "s3.credentials_open", path + " can be read by everybody",
                    "chmod 600 " + path + ", and have the key changed");
    }
    const auto content = env::read_file(path, file_bytes_max);
    if (!content) return none("no credentials for the object store: " + content.error().text);
    const std::string profile = environment_("AWS_PROFILE");
    auto found = parse_credentials(as_text(*content), profile.empty() ? "default" : profile);
    if (!found) return fail(in_step(path, found.error()));
    return found;
}

Result<Credentials> CredentialSource::from_command() const {
    const auto failed = [](const std::string& text) {
        return fail(Errc::denied, "s3.credentials_command",
                    "the command for the object store's credentials " + text,
                    "run it by hand; it prints lines like those of ~/.aws/credentials");
    };
    const auto done = env::run_process({"/bin/sh", "-c", config_.credentials_command},
                                       env::Deadline{clock_, command_max}, cancel_);
    if (!done && done.error().code == Errc::cancelled) return fail(done.error());
    if (!done) return failed("did not work: " + done.error().text);
    // What it printed stays unsaid: it may be half of a secret.
    if (done->exit_code != 0) return failed("ended with " + std::to_string(done->exit_code));
    const auto found = parse_credentials(done->out, "default");
    if (!found) return failed("printed no key id and secret");
    return found;
}

Result<Credentials> CredentialSource::read() const {
    Credentials found{.key_id = environment_("AWS_ACCESS_KEY_ID"),
                      .secret = environment_("AWS_SECRET_ACCESS_KEY"),
                      .token = environment_("AWS_SESSION_TOKEN")};
    if (!found.key_id.empty() || !found.secret.empty()) {
        if (usable(found)) return found;
        return none("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY hold no usable pair");
    }
    if (!config_.credentials_command.empty()) return from_command();
    if (!config_.credentials_file.empty()) return from_file(config_.credentials_file);
    const std::string shared = environment_("AWS_SHARED_CREDENTIALS_FILE");
    if (!shared.empty()) return from_file(shared);
    const std::string home = environment_("HOME");
    if (home.empty()) return none("no credentials for the object store");
    return from_file(home + "/.aws/credentials");
}

Result<Credentials> CredentialSource::get() {
    const std::scoped_lock lock{mutex_};
    const bool fresh = known_ && (known_->expires == env::Nanoseconds::zero() ||
                                  clock_.wall() + renew_before < known_->expires);
    if (fresh) return *known_;
    SP_ASSIGN(known_, read());
    return *known_;
}

void CredentialSource::renew(const Credentials& used) {
    const std::scoped_lock lock{mutex_};
    if (known_ && known_->secret == used.secret && known_->token == used.token) known_.reset();
}

}  // namespace stillpoint::vault::s3
