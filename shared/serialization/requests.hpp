#pragma once
#include "serialization/evidence.hpp"
#include "serialization/fields.hpp"

/// What a manager submits to the plugin: one request kind per CLI verb, DESIGN section 6 and 11.
/// A request document is {"kind": "<kind>", …members}. Secrets never stand here: they travel in the
/// ABI's secret field.
namespace stillpoint::serialization {

enum class VaultEncryption { passphrase, keyfile, none };
inline constexpr EnumTable<VaultEncryption, 3> vault_encryption_names{
    {{VaultEncryption::passphrase, "passphrase"},
     {VaultEncryption::keyfile, "keyfile"},
     {VaultEncryption::none, "none"}}};
SP_ENUM_TEXT(VaultEncryption, vault_encryption_names)

enum class ImageFormat { raw, qcow2 };
inline constexpr EnumTable<ImageFormat, 2> image_format_names{
    {{ImageFormat::raw, "raw"}, {ImageFormat::qcow2, "qcow2"}}};
SP_ENUM_TEXT(ImageFormat, image_format_names)

struct VaultInitRequest {
    static constexpr std::string_view kind = "vault.init";
    std::string vault;  // URL
    VaultEncryption encryption = VaultEncryption::passphrase;
    std::string key_file;  // with keyfile: created 0600 if absent
    std::uint32_t chunk_bytes = 65536;
    std::string compression = "zstd";  // zstd, lz4 or none
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("vault", s.vault);
        v("encryption", s.encryption);
        v("key_file", s.key_file);
        v("chunk_bytes", s.chunk_bytes);
        v("compression", s.compression);
    }
};

/// Where a vault is and which key opens it; the passphrase itself is the ABI's secret.
struct VaultAccess {
    std::string url;
    std::string
        key_file;  // a passphrase in its first line, or the raw key; empty: the secret field
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("url", s.url);
        v("key_file", s.key_file);
    }
};

struct VaultCheckRequest {
    static constexpr std::string_view kind = "vault.check";
    VaultAccess vault;
    bool read_data = false;
    bool without_key = false;  // what proves itself; reads all packs, uses no key
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("vault", s.vault);
        v("read_data", s.read_data);
        v("without_key", s.without_key);
    }
};

struct VaultStatsRequest {
    static constexpr std::string_view kind = "vault.stats";
    VaultAccess vault;
    bool read_maps = false;           // for the deduplication ratio
    std::vector<std::string> forget;  // points: what forgetting them would free
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("vault", s.vault);
        v("read_maps", s.read_maps);
        v("forget", s.forget);
    }
};

struct VaultGcRequest {
    static constexpr std::string_view kind = "vault.gc";
    VaultAccess vault;
    bool dry_run = false;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("vault", s.vault);
        v("dry_run", s.dry_run);
    }
};

struct VaultRepairRequest {
    static constexpr std::string_view kind = "vault.repair";
    VaultAccess vault;
    bool dry_run = false;
    bool read_data = false;  // look for damaged records in packs, too
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("vault", s.vault);
        v("dry_run", s.dry_run);
        v("read_data", s.read_data);
    }
};

enum class KeyAction { list, add, remove, rotate };
inline constexpr EnumTable<KeyAction, 4> key_action_names{{{KeyAction::list, "list"},
                                                           {KeyAction::add, "add"},
                                                           {KeyAction::remove, "remove"},
                                                           {KeyAction::rotate, "rotate"}}};
SP_ENUM_TEXT(KeyAction, key_action_names)

/// The ABI's secret is the passphrase that opens the vault; a new passphrase follows in a line of
/// its own. Each is needed only where no file holds it.
struct VaultKeyRequest {
    static constexpr std::string_view kind = "vault.key";
    VaultAccess vault;
    KeyAction action = KeyAction::list;
    std::string id;            // remove: the key's
    std::string new_key_file;  // add, rotate: as key_file; a raw key is created 0600 if absent
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("vault", s.vault);
        v("action", s.action);
        v("id", s.id);
        v("new_key_file", s.new_key_file);
    }
};

/// How to reach the hypervisor and the VM.
struct VmAccess {
    std::string vm;             // name or uuid; with qmp_socket a label
    std::string connect;        // libvirt URI; empty with qmp_socket
    std::string qmp_socket;     // plain QEMU
    std::string guest_channel;  // unix socket of the guest port; libvirt: found in the live XML
    std::vector<std::string> images;  // of a VM that is off: NAME=PATH or NAME=FORMAT:PATH
    std::string nvram;                // with images: the file of the VM's UEFI variables
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("vm", s.vm);
        v("connect", s.connect);
        v("qmp_socket", s.qmp_socket);
        v("guest_channel", s.guest_channel);
        v("images", s.images);
        v("nvram", s.nvram);
    }
};

struct BackupRequest {
    static constexpr std::string_view kind = "backup";
    VaultAccess vault;
    VmAccess vm;
    std::vector<std::string> disks;  // empty: all
    bool full = false;
    Level require = Level::crash;
    BackupType type = BackupType::full;
    std::string scratch_folder;   // empty: the configured or default job folder
    std::uint64_t bandwidth = 0;  // bytes per second over all disks; 0: as configured
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("vault", s.vault);
        v("vm", s.vm);
        v("disks", s.disks);
        v("full", s.full);
        v("require", s.require);
        v("type", s.type);
        v("scratch_folder", s.scratch_folder);
        v("bandwidth", s.bandwidth);
    }
};

struct PointsRequest {
    static constexpr std::string_view kind = "points";
    VaultAccess vault;
    std::string vm;  // empty: all
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("vault", s.vault);
        v("vm", s.vm);
    }
};

/// Says that points which a repair brought back are wanted.
struct PointsConfirmRequest {
    static constexpr std::string_view kind = "points.confirm";
    VaultAccess vault;
    std::vector<std::string> points;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("vault", s.vault);
        v("points", s.points);
    }
};

struct PointsDiffRequest {
    static constexpr std::string_view kind = "points.diff";
    VaultAccess vault;
    std::string before, now;  // points
    bool extents = false;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("vault", s.vault);
        v("before", s.before);
        v("now", s.now);
        v("extents", s.extents);
    }
};

struct ShowRequest {
    static constexpr std::string_view kind = "show";
    VaultAccess vault;
    std::string point;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("vault", s.vault);
        v("point", s.point);
    }
};

struct VerifyRequest {
    static constexpr std::string_view kind = "verify";
    VaultAccess vault;
    std::string point;
    std::string disk;     // empty: all (not with against)
    std::string against;  // a raw or qcow2 file, or "live"; empty: verify the point in itself
    VmAccess vm;          // live only; without a name the VM is the point's
    std::string scratch_folder;  // live only; empty: the configured or default job folder
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("vault", s.vault);
        v("point", s.point);
        v("disk", s.disk);
        v("against", s.against);
        v("vm", s.vm);
        v("scratch_folder", s.scratch_folder);
    }
};

struct RestoreRequest {
    static constexpr std::string_view kind = "restore";
    VaultAccess vault;
    std::string point;
    std::string to;  // folder
    std::vector<std::string> disks;
    ImageFormat format = ImageFormat::qcow2;
    bool configuration = true;  // domain.xml, nvram.fd, tpm/…
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("vault", s.vault);
        v("point", s.point);
        v("to", s.to);
        v("disks", s.disks);
        v("format", s.format);
        v("configuration", s.configuration);
    }
};

struct ForgetRequest {
    static constexpr std::string_view kind = "forget";
    VaultAccess vault;
    std::vector<std::string> points;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("vault", s.vault);
        v("points", s.points);
    }
};

struct GuestStatusRequest {
    static constexpr std::string_view kind = "guest.status";
    VmAccess vm;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("vm", s.vm);
    }
};

struct GuestDoctorRequest {
    static constexpr std::string_view kind = "guest.doctor";
    VmAccess vm;
    bool dry_run = true;  // freeze and thaw each filesystem once
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("vm", s.vm);
        v("dry_run", s.dry_run);
    }
};

}  // namespace stillpoint::serialization
