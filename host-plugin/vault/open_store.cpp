#include "vault/cached_store.hpp"
#include "vault/local_store.hpp"
#include "vault/s3/s3_store.hpp"
#include "vault/vault.hpp"
#include "vault/watched_store.hpp"

namespace stillpoint::vault {
namespace {

constexpr std::string_view file_scheme = "file://";

tl::unexpected<Error> bad_url(const std::string& url, const std::string& text) {
    return fail(Errc::invalid, "vault.url", "'" + url + "' " + text,
                "file:///absolute/path, an absolute path, or s3://bucket/prefix");
}

Result<std::unique_ptr<BlockStore>> open_local(const std::string& url) {
    const std::string path = url.starts_with(file_scheme) ? url.substr(file_scheme.size()) : url;
    if (url.find("://") != std::string::npos && path.size() == url.size()) {
        return bad_url(url, "is of a kind that is not known");
    }
    if (!path.starts_with('/')) return bad_url(url, "does not name an absolute path");
    SP_ASSIGN(auto store, LocalStore::open(path, env::SystemClock{}));
    return std::unique_ptr<BlockStore>{std::move(store)};
}

}  // namespace

Result<std::unique_ptr<BlockStore>> open_store(const std::string& url,
                                               const StoreOptions& options) {
    if (url.starts_with("s3://")) {
        SP_ASSIGN(auto store, s3::open_s3_store(url, options.s3, options.watch.stall_max,
                                                options.watch.cancel));
        if (!options.cache) return store;
        return std::make_unique<CachedStore>(std::move(store), *options.cache);
    }
    if (options.hanging == HangingFiles::wait) return open_local(url);
    return WatchedStore::open(
        url, [url] { return open_local(url); }, options.watch);
}

}  // namespace stillpoint::vault
