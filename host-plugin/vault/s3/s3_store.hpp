#pragma once
#include <functional>

#include "env/cancel.hpp"
#include "vault/block_store.hpp"
#include "vault/s3/client.hpp"

namespace stillpoint::vault::s3 {

/// Objects as keys below a prefix of a bucket. Every put is one conditional PUT (If-None-Match: *):
/// atomic, visible at once, and of several hosts that put one name exactly one succeeds. What the
/// local store does with a rename that does not replace.
/// @source AWS S3 "Conditional writes", "Strong consistency"; docs/stores.md
class S3Store final : public BlockStore {
public:
    /// @param location for names in errors and the prefix of lists
    /// @param clock tells until when objects are locked; outlives the store
    S3Store(const Location& location, std::unique_ptr<Client> client, const env::Clock& clock)
        : prefix_(location.prefix),
          name_(location.describe()),
          lock_(location.lock),
          clock_(clock),
          client_(std::move(client)) {}

    Status put(const std::string& name, ByteView bytes) override;
    Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) override;
    Result<ObjectEnd> get_end(const std::string& name, ByteCount most) override;
    Result<ByteCount> size(const std::string& name) override;
    Result<std::vector<ObjectInfo>> list(const std::string& prefix) override;
    Status remove(const std::string& name) override;
    [[nodiscard]] std::string describe() const override { return name_; }
    [[nodiscard]] env::Nanoseconds stall_max() const override { return client_->stall_max(); }
    [[nodiscard]] unsigned calls_at_once() const override { return 16; }

private:
    /// HEAD; a refusal, which has no body there, is asked for its reasons by a GET.
    Result<HttpAnswer> head(const std::string& name);
    Status settle_taken(const std::string& name, const std::string& mark);

    const std::string prefix_;
    const std::string name_;
    const Retention lock_;
    const env::Clock& clock_;
    const std::unique_ptr<Client> client_;
};

/// Opens the store at a URL that begins with s3://. Asks nothing of the network yet.
/// @param watch its limit holds for every call, its wish to stop ends every wait
/// @errors invalid, id "s3.url"
[[nodiscard]] Result<std::unique_ptr<BlockStore>> open_s3_store(const std::string& url,
                                                                const S3Config& config,
                                                                env::Nanoseconds stall_max,
                                                                const env::CancelToken& cancel);

}  // namespace stillpoint::vault::s3
