#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "capture/capture.hpp"
#include "env/random.hpp"
#include "route/audit_sample.hpp"
#include "vault/vault.hpp"

/// The audit of change tracking: some of the blocks that it calls clean are read all the same and
/// compared with the parent's map (I3, ADR-0013).
namespace stillpoint::route {

struct AuditOptions {
    std::uint64_t chunks = 64;  // per disk and increment; 0: no audit
};
/// One more chunk is audited for every so many that the increment reads anyway: large increments
/// are audited better, and by how much an audit may slow one down is known.
inline constexpr std::uint64_t audit_read_share = 32;
/// … as long as it reads no more than this; AuditOptions::chunks counts even beyond it.
inline constexpr std::uint64_t audit_bytes_max = 64u << 20;

struct AuditResult {
    std::uint64_t clean = 0;       // chunks that tracking calls clean
    std::uint64_t chunks = 0;      // of these read and compared
    std::uint64_t data = 0;        // of these with data at the parent; the others are zeros there
    std::uint64_t changed = 0;     // that differ: tracking lied
    std::uint64_t bytes = 0;       // read for it
    std::uint64_t unreadable = 0;  // draws that met damage in the parent's block map
};

/// How many chunks to audit beside a plan of this many bytes to read. Pure.
[[nodiscard]] std::uint64_t audit_chunks(const AuditOptions& options, ByteCount read,
                                         ByteCount chunk);

struct AuditTask {
    capture::NbdSource& view;  // frozen; clean areas can be read, too
    vault::Vault& vault;
    vault::DiskReader& parent;
    const extents::ExtentSet& dirty;  // chunk-aligned
    std::uint64_t chunks = 0;
    unsigned workers = 1;
};

/// @errors those of reading the view or the parent's map; damage of the map is counted instead
[[nodiscard]] Result<AuditResult> audit_clean_blocks(const AuditTask& task,
                                                     const env::RandomFn& random,
                                                     const env::CancelToken& cancel);

/// Blocks of a view beside what the parent's map says of them.
struct Examined {
    std::vector<BlockIndex> changed;  // ascending
    std::uint64_t bytes = 0;          // read for it
};

/// Reads blocks of a task's view, clean or not, and compares them with what was known of them.
/// @param blocks ascending, each once
/// @errors those of reading the view
[[nodiscard]] Result<Examined> examine_blocks(const AuditTask& task,
                                              const std::vector<SampledBlock>& blocks,
                                              const env::CancelToken& cancel);

/// The probability that an audit notices when this share of the clean chunks that hold data was
/// changed without a trace, wherever they lie: 1 - (1 - share)^data. Pure.
[[nodiscard]] double notice_probability(const AuditResult& audit, double share);

}  // namespace stillpoint::route
