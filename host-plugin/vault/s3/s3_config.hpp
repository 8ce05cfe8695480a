#pragma once
#include <string>

namespace stillpoint::vault {

/// Who may end a retention before its time: governance, whoever has that right; compliance, nobody.
enum class LockMode { governance, compliance };

/// What host.xml says of object stores, `<s3 …/>`; empty: nothing. docs/stores.md
struct S3Config {
    std::string endpoint;  // URL
    std::string region;
    std::string addressing;           // path or virtual
    std::string ca_file;              // PEM
    std::string credentials_file;     // as ~/.aws/credentials
    std::string credentials_command;  // its output is read like such a file
    unsigned lock_days = 0;           // object lock of what is uploaded; 0: none
    LockMode lock_mode = LockMode::governance;
};

}  // namespace stillpoint::vault
