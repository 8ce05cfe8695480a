/* The C ABI between a hypervisor manager and libstillpoint-host.so (DESIGN section 6).
 *
 * Rules: C only. Structs start with their size and the ABI version and only ever grow at the end; a
 * reader uses a member only when the struct's size covers it. Documents are UTF-8 JSON, given as
 * (pointer, length), valid during the call unless said otherwise. Memory returned by the plugin is
 * freed with sp_plugin.free. The plugin installs no signal handler and must not be dlclosed.
 * SIGPIPE is blocked in its own threads; who runs libvirt's event loop ignores it, as libvirt may
 * raise it.
 */
#ifndef STILLPOINT_HOST_PLUGIN_H
#define STILLPOINT_HOST_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SP_ABI_VERSION 1u

typedef struct sp_text {
    const char* data; /* not NUL-terminated */
    size_t length;
} sp_text;

enum sp_log_severity { SP_LOG_DEBUG = 0, SP_LOG_INFO = 1, SP_LOG_WARNING = 2, SP_LOG_ERROR = 3 };

/* Given by the manager to open(); must stay valid until close() returned. */
typedef struct sp_manager {
    uint32_t struct_size; /* sizeof(struct sp_manager) as the manager knows it */
    uint32_t abi_version; /* SP_ABI_VERSION */
    void* self;           /* passed back to every callback */
    /* Called from any plugin thread, one call at a time. */
    void (*log)(void* self, int severity, sp_text line);
    /* Progress of a job, a JSON ProgressEvent; always from one plugin thread. May be NULL. */
    void (*event)(void* self, uint64_t job, sp_text json);
    /* Non-zero: the manager runs libvirt's default event loop; else the plugin does. */
    int runs_libvirt_event_loop;
    /* host.xml's content, or empty for the defaults. */
    sp_text config;
    /* Reserved: manager-supplied hypervisor operations. Must be NULL in version 1. */
    const void* hypervisor;
} sp_manager;

typedef struct sp_session sp_session; /* opaque */

typedef struct sp_plugin {
    uint32_t struct_size;
    uint32_t abi_version;
    const char* version; /* of the product, e.g. "0.1.0" */
    /* @return 0 and *session, or a negative sp_error with *error a JSON document to free */
    int (*open)(const sp_manager* manager, sp_session** session, sp_text* error);
    /* Starts a request document ({"kind":…}). `secret` (a passphrase, may be empty) is never logged
     * and is wiped when the job ends. @return 0 and *job (never 0) */
    int (*submit)(sp_session* session, sp_text request, sp_text secret, uint64_t* job,
                  sp_text* error);
    /* Asks a job to stop; it ends thawed and clean. Never blocks; safe from any thread. */
    int (*cancel)(sp_session* session, uint64_t job);
    /* Waits for the end of a job: *exit_code is the CLI's (0, 1, 2, 3, 4, 130), *result its JSON
     * document (an error document when the job failed) to free. A job can be waited for once.
     * timeout_ms < 0 waits as long as the job's own deadlines. @return 0, or SP_TIMEOUT */
    int (*wait)(sp_session* session, uint64_t job, int64_t timeout_ms, int* exit_code,
                sp_text* result);
    /* Cancels and waits for what still runs, then ends the session. */
    void (*close)(sp_session* session);
    void (*free)(sp_text text);
} sp_plugin;

enum sp_error {
    SP_OK = 0,
    SP_INVALID = -1,   /* a document or argument is unusable */
    SP_NOT_FOUND = -2, /* no such job */
    SP_TIMEOUT = -3,   /* wait: still running */
    SP_FAILED = -4,    /* anything else; the error document says what */
    SP_NO_MEMORY = -5
};

/* The one exported symbol. @return NULL when this plugin does not speak that ABI version. */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const sp_plugin*
stillpoint_host_plugin(uint32_t abi_version);

#ifdef __cplusplus
}
#endif
#endif
