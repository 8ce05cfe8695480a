#include <doctest/doctest.h>
#include <sys/stat.h>

#include <map>

#include "env/files.hpp"
#include "support/fake_clock.hpp"
#include "vault/s3/credentials.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using namespace stillpoint::vault::s3;
using namespace std::chrono_literals;

namespace {

struct Fixture {
    env::TemporaryFolder folder = env::TemporaryFolder::create("/tmp", "sp-s3-").value();
    test::FakeClock clock;
    std::map<std::string, std::string> variables;
    S3Config config;

    std::string file(const std::string& name, const std::string& text, mode_t mode = 0600) const {
        const env::Path path = folder.path() / name;
        REQUIRE(env::write_durably(path, as_bytes(text), mode, folder.path()));
        REQUIRE(::chmod(path.c_str(), mode) == 0);
        return path;
    }
    CredentialSource source() {
        return CredentialSource{
            config, [this](const char* name) { return variables[name]; }, clock, {}};
    }
};

std::string pair_of(const std::string& key, const std::string& secret) {
    return "aws_access_key_id = " + key + "\naws_secret_access_key=" + secret + "\n";
}

}  // namespace

TEST_CASE("vault/s3: credentials are read from a section, and from a command's plain lines") {
    const std::string text = "# ours\n[other]\n" + pair_of("X", "x") + "\n[default]\r\n" +
                             pair_of("AK", "S+/=K") + "aws_session_token = tok\n[late]\n" +
                             pair_of("Y", "y");
    const auto found = parse_credentials(text, "default");
    REQUIRE(found);
    CHECK(found->key_id == "AK");
    CHECK(found->secret == "S+/=K");
    CHECK(found->token == "tok");
    CHECK(parse_credentials(text, "late")->secret == "y");
    const auto printed = parse_credentials(
        "AWS_ACCESS_KEY_ID=A\nAWS_SECRET_ACCESS_KEY=B\n"
        "AWS_CREDENTIAL_EXPIRATION=2033-05-18T03:33:20+00:00\n",
        "default");
    REQUIRE(printed);
    CHECK(printed->expires == 2'000'000'000s);
    for (const char* bad : {"", "[default]\n", "aws_access_key_id=A\n",
                            "[x]\naws_access_key_id=A\n"
                            "aws_secret_access_key=B\n",
                            "aws_access_key_id=A\naws_secret_access_key=B\x01C\n"}) {
        CHECK(parse_credentials(bad, "default").error().id == "s3.no_credentials");
    }
}

TEST_CASE("vault/s3: the environment goes first, then command, file, AWS's own files") {
    Fixture f;
    CHECK(f.source().get().error().id == "s3.no_credentials");
    const auto key = [&] {
        const auto found = f.source().get();
        REQUIRE(found);
        return found->key_id;
    };
    REQUIRE(env::make_folders(f.folder.path() / ".aws", 0700));
    (void)f.file(".aws/credentials", "[default]\n" + pair_of("HOME", "s"));
    f.variables["HOME"] = f.folder.path();
    CHECK(key() == "HOME");
    f.variables["AWS_SHARED_CREDENTIALS_FILE"] =
        f.file("shared", "[default]\n" + pair_of("SHARED", "s") + "[p]\n" + pair_of("P", "s"));
    CHECK(key() == "SHARED");
    f.variables["AWS_PROFILE"] = "p";
    CHECK(key() == "P");
    f.variables["AWS_PROFILE"] = "";
    f.config.credentials_file = f.file("mine", pair_of("FILE", "s"));
    CHECK(key() == "FILE");
    f.config.credentials_command =
        "printf 'AWS_ACCESS_KEY_ID=%s\\nAWS_SECRET_ACCESS_KEY=s\\n' COMMAND";
    CHECK(key() == "COMMAND");
    f.variables["AWS_ACCESS_KEY_ID"] = "ENV";
    CHECK(f.source().get().error().id == "s3.no_credentials");  // half a pair is a mistake
    f.variables["AWS_SECRET_ACCESS_KEY"] = "s";
    CHECK(key() == "ENV");
}

TEST_CASE("vault/s3: a file that everybody may read is refused") {
    Fixture f;
    f.config.credentials_file = f.file("open", pair_of("A", "hunter2"), 0644);
    const auto refused = f.source().get();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().id == "s3.credentials_open");
    CHECK(refused.error().code == Errc::denied);
}

TEST_CASE("vault/s3: what a failing command prints is not repeated") {
    Fixture f;
    for (const char* command :
         {"echo hunter2; echo hunter2 >&2; exit 3", "echo hunter2", "exit 0"}) {
        f.config.credentials_command = command;
        const auto failed = f.source().get();
        REQUIRE_FALSE(failed);
        CHECK(failed.error().id == "s3.credentials_command");
        CHECK((failed.error().text + failed.error().remedy).find("hunter2") == std::string::npos);
    }
}

TEST_CASE("vault/s3: credentials are kept until they expire or are refused") {
    Fixture f;
    const env::Path count = f.folder.path() / "count";
    f.config.credentials_command =
        "echo x >>" + count.string() + "; echo AWS_ACCESS_KEY_ID=A$(wc -l <" + count.string() +
        "); echo AWS_SECRET_ACCESS_KEY=S$(wc -l <" + count.string() +
        "); echo AWS_CREDENTIAL_EXPIRATION=2023-11-14T23:13:20Z";  // the fake clock's start + 1 h
    CredentialSource source = f.source();
    const Credentials first = source.get().value();
    CHECK(first.key_id == "A1");
    f.clock.advance(57min);
    CHECK(source.get()->key_id == "A1");
    f.clock.advance(2min);  // within the last two
    const Credentials second = source.get().value();
    CHECK(second.key_id == "A2");
    source.renew(first);  // somebody else renewed them already
    f.clock.advance(-59min);
    CHECK(source.get()->key_id == "A2");
    source.renew(second);
    CHECK(source.get()->key_id == "A3");
}
