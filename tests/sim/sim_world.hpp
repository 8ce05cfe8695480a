#pragma once
#include <functional>
#include <map>
#include <memory>
#include <set>

#include "route/backup_route.hpp"
#include "sim/stage.hpp"
#include "vault/memory_store.hpp"

/// A small world from one seed: VMs, vaults, and what their disks held at every instant.
namespace stillpoint::sim {

struct DiskTruth {
    std::string name;
    Cells cells;
    std::uint64_t dirty_bytes = 0;
    /// Lost to all tracking: the disk was cut and grown again since the parent, which leaves no
    /// trace in bitmap or size. Nothing is demanded until the disk is read in full again.
    bool untraceable = false;
};

struct PointTruth {
    std::string vm_uuid;
    bool guest_frozen = false;
    std::vector<DiskTruth> disks;
    [[nodiscard]] const DiskTruth* disk(const std::string& name) const;
};

struct SimVault {
    vault::MemoryStore store;
    std::string short_id;
    std::map<vault::PointId, PointTruth> truths;   // of all instants, published or not
    std::set<vault::PointId> published;            // as far as seen
    std::map<std::string, vault::PointId> newest;  // by vm uuid and disk: the last one made
    std::set<std::string> chained;                 // … whose next backup must be an increment
    std::set<std::string> torn;                    // objects of which the store kept only half
    [[nodiscard]] static std::string key(const Machine& machine, const std::string& disk) {
        return machine.uuid + "/" + disk;
    }
};

struct BackupWish {
    std::size_t machine = 0;
    std::size_t vault = 0;
    bool full = false;
    serialization::Level require = serialization::Level::crash;
    std::vector<std::string> disks;  // empty: all
    RunPlan plan;
};

/// One run as it went.
struct RunRecord {
    std::size_t machine = 0;
    Result<serialization::PointReport> report = fail(Errc::io, "sim", "not run");
    vault::PointId point;  // that its instant belongs to; empty: none was taken
    bool published = false;
    bool owner_dead = false;
    bool found_session = false;  // of an earlier owner
    bool disturbed = false;
    bool store_fault = false;  // one was planned
    bool killed = false;       // QEMU was, while it ran
    bool off = false;          // the VM was off when it ended
    bool paused = false;       // by its user, all the time
    bool unasked = false;      // it stood when the run began, so that nobody asked its guest
    std::string torn;          // object of which the store kept only half
    std::size_t store_calls = 0;
    std::set<std::string> chained;            // disks that must get an increment
    std::vector<std::string> foreign_before;  // bitmaps of others
    std::vector<std::string> foreign_after;
};

class World {
public:
    explicit World(std::uint64_t seed);

    /// One step: a few events in the life of the VMs, then a backup and all checks.
    /// @return false: a check failed; the world is of no further use
    bool step();
    /// Every point of every vault against the model, and all packs read.
    bool final_check();

    [[nodiscard]] const std::string& failure() const { return failure_; }
    [[nodiscard]] const Trace& trace() const { return trace_; }
    [[nodiscard]] std::uint64_t points_checked() const { return points_checked_; }

    // Below: for the schedule (sim_schedule.cpp), the run and its checks.
    void live(Dice& dice);
    [[nodiscard]] BackupWish wish();
    RunRecord back_up(const BackupWish& wish);
    void check_run(const BackupWish& wish, const RunRecord& run);
    void check_machine(const BackupWish& wish, const RunRecord& run);
    void check_report(const BackupWish& wish, const RunRecord& run);
    void check_disk_report(SimVault& vault, const RunRecord& run, const route::DiskDocument& disk);
    enum class Thoroughness { newest_and_one, all_points };
    void check_vault(SimVault& vault, Thoroughness how);
    enum class Restore { no, yes };
    void check_point(SimVault& vault, vault::Vault& opened, const vault::Point& point,
                     Restore restore);
    void expect(bool holds, const std::string& text);

    Trace& log() { return trace_; }
    SimClock& clock() { return clock_; }
    std::vector<std::unique_ptr<Machine>>& machines() { return machines_; }
    std::vector<std::unique_ptr<SimVault>>& vaults() { return vaults_; }
    std::vector<Image>& shelf() { return shelf_; }
    [[nodiscard]] std::string new_path();
    void forget(SimVault& vault, vault::PointId point);
    /// No chain of this disk may be relied on any more (empty: of no disk of the VM).
    void forget_chains(const Machine& machine, const std::string& disk = {});
    [[nodiscard]] std::uint64_t grain_cells() const { return grain_cells_; }

private:
    void note_instants(const Stage& stage, SimVault& vault, RunRecord& run);
    void settle(const BackupWish& wish, const Stage& stage);
    void note_published(const BackupWish& wish, const RunRecord& run);
    bool was_cut(const SimVault& vault, const RunRecord& run, const DiskTruth& parent);
    void note_cuts(SimVault& vault, const RunRecord& run, DiskTruth& truth,
                   const DiskTruth& parent);
    static void mend(SimVault& vault);

    Dice dice_;
    Trace trace_;
    SimClock clock_;
    std::vector<std::unique_ptr<Machine>> machines_;
    std::vector<std::unique_ptr<SimVault>> vaults_;
    std::vector<Image> shelf_;  // copies of images that somebody put aside
    std::uint64_t grain_cells_ = chunk_cells;
    std::uint64_t paths_ = 0;
    std::uint64_t points_checked_ = 0;
    std::size_t usual_store_calls_ = 40;
    std::string failure_;
    Result<env::TemporaryFolder> folder_ = env::TemporaryFolder::create("/tmp", "sp-sim-");
};

/// A machine with random disks.
[[nodiscard]] std::unique_ptr<Machine> make_machine(World& world, Dice& dice, std::size_t number);
[[nodiscard]] std::shared_ptr<Image> make_image(World& world, Dice& dice);

}  // namespace stillpoint::sim
