// The C view of the interfaces: a structure of pointers, whose offsets a compiler can tell.
#define CINTERFACE
#include <windows.h>
// after windows.h
#include <vsadmin.h>
#include <vsbackup.h>
#include <vsprov.h>
#include <vss.h>

#include <cstddef>

/// What VSS and this program must agree on, kept from changing unseen with the compiler's headers:
/// the place of each method in its table, and the layout of what is passed. There is nothing to
/// run.
/// @source Microsoft, vsbackup.h, vsprov.h and vss.h of the Windows SDK, by an independent
/// transcription of them; the headers make the C and the C++ view from one description
namespace {

#define SP_SLOT(interface_name, method, slot)                                       \
    static_assert(offsetof(interface_name##Vtbl, method) == (slot) * sizeof(void*), \
                  #interface_name "::" #method)

static_assert(sizeof(void*) == 8 && sizeof(VSS_ID) == 16 && sizeof(boolean) == 1);

// The requester calls these.
SP_SLOT(IVssBackupComponents, Release, 2);
SP_SLOT(IVssBackupComponents, InitializeForBackup, 5);
SP_SLOT(IVssBackupComponents, SetBackupState, 6);
SP_SLOT(IVssBackupComponents, GatherWriterMetadata, 9);
SP_SLOT(IVssBackupComponents, GetWriterMetadataCount, 10);
SP_SLOT(IVssBackupComponents, GetWriterMetadata, 11);
SP_SLOT(IVssBackupComponents, FreeWriterMetadata, 12);
SP_SLOT(IVssBackupComponents, AddComponent, 13);
SP_SLOT(IVssBackupComponents, PrepareForBackup, 14);
SP_SLOT(IVssBackupComponents, AbortBackup, 15);
SP_SLOT(IVssBackupComponents, GatherWriterStatus, 16);
SP_SLOT(IVssBackupComponents, GetWriterStatusCount, 17);
SP_SLOT(IVssBackupComponents, FreeWriterStatus, 18);
SP_SLOT(IVssBackupComponents, GetWriterStatus, 19);
SP_SLOT(IVssBackupComponents, SetBackupSucceeded, 20);
SP_SLOT(IVssBackupComponents, BackupComplete, 27);
SP_SLOT(IVssBackupComponents, SetContext, 35);
SP_SLOT(IVssBackupComponents, StartSnapshotSet, 36);
SP_SLOT(IVssBackupComponents, AddToSnapshotSet, 37);
SP_SLOT(IVssBackupComponents, DoSnapshotSet, 38);
SP_SLOT(IVssBackupComponents, DisableWriterInstances, 47);
static_assert(sizeof(IVssBackupComponentsVtbl) == 51 * sizeof(void*));

SP_SLOT(IVssAsync, Cancel, 3);
SP_SLOT(IVssAsync, Wait, 4);
SP_SLOT(IVssAsync, QueryStatus, 5);
static_assert(sizeof(IVssAsyncVtbl) == 6 * sizeof(void*));

SP_SLOT(IVssExamineWriterMetadata, GetIdentity, 3);
SP_SLOT(IVssExamineWriterMetadata, GetFileCounts, 4);
SP_SLOT(IVssExamineWriterMetadata, GetComponent, 7);
static_assert(sizeof(IVssExamineWriterMetadataVtbl) == 14 * sizeof(void*));

SP_SLOT(IVssWMComponent, GetComponentInfo, 3);
SP_SLOT(IVssWMComponent, FreeComponentInfo, 4);

SP_SLOT(IVssAdmin, RegisterProvider, 3);
SP_SLOT(IVssAdmin, UnregisterProvider, 4);
SP_SLOT(IVssAdmin, QueryProviders, 5);
SP_SLOT(IVssEnumObject, Next, 3);

// VSS calls these of the provider.
SP_SLOT(IVssSoftwareSnapshotProvider, QueryInterface, 0);
SP_SLOT(IVssSoftwareSnapshotProvider, SetContext, 3);
SP_SLOT(IVssSoftwareSnapshotProvider, GetSnapshotProperties, 4);
SP_SLOT(IVssSoftwareSnapshotProvider, Query, 5);
SP_SLOT(IVssSoftwareSnapshotProvider, DeleteSnapshots, 6);
SP_SLOT(IVssSoftwareSnapshotProvider, BeginPrepareSnapshot, 7);
SP_SLOT(IVssSoftwareSnapshotProvider, IsVolumeSupported, 8);
SP_SLOT(IVssSoftwareSnapshotProvider, IsVolumeSnapshotted, 9);
SP_SLOT(IVssSoftwareSnapshotProvider, SetSnapshotProperty, 10);
SP_SLOT(IVssSoftwareSnapshotProvider, RevertToSnapshot, 11);
SP_SLOT(IVssSoftwareSnapshotProvider, QueryRevertStatus, 12);
static_assert(sizeof(IVssSoftwareSnapshotProviderVtbl) == 13 * sizeof(void*));

SP_SLOT(IVssProviderCreateSnapshotSet, EndPrepareSnapshots, 3);
SP_SLOT(IVssProviderCreateSnapshotSet, PreCommitSnapshots, 4);
SP_SLOT(IVssProviderCreateSnapshotSet, CommitSnapshots, 5);
SP_SLOT(IVssProviderCreateSnapshotSet, PostCommitSnapshots, 6);
SP_SLOT(IVssProviderCreateSnapshotSet, PreFinalCommitSnapshots, 7);
SP_SLOT(IVssProviderCreateSnapshotSet, PostFinalCommitSnapshots, 8);
SP_SLOT(IVssProviderCreateSnapshotSet, AbortSnapshots, 9);
static_assert(sizeof(IVssProviderCreateSnapshotSetVtbl) == 10 * sizeof(void*));

SP_SLOT(IVssProviderNotifications, OnLoad, 3);
SP_SLOT(IVssProviderNotifications, OnUnload, 4);
static_assert(sizeof(IVssProviderNotificationsVtbl) == 5 * sizeof(void*));

#undef SP_SLOT

static_assert(sizeof(VSS_SNAPSHOT_PROP) == 128);
static_assert(offsetof(VSS_SNAPSHOT_PROP, m_SnapshotSetId) == 16);
static_assert(offsetof(VSS_SNAPSHOT_PROP, m_lSnapshotsCount) == 32);
static_assert(offsetof(VSS_SNAPSHOT_PROP, m_pwszSnapshotDeviceObject) == 40);
static_assert(offsetof(VSS_SNAPSHOT_PROP, m_ProviderId) == 88);
static_assert(offsetof(VSS_SNAPSHOT_PROP, m_tsCreationTimestamp) == 112);
static_assert(offsetof(VSS_SNAPSHOT_PROP, m_eStatus) == 120);

static_assert(sizeof(VSS_PROVIDER_PROP) == 72);
static_assert(offsetof(VSS_PROVIDER_PROP, m_pwszProviderName) == 16);
static_assert(offsetof(VSS_PROVIDER_PROP, m_pwszProviderVersion) == 32);
static_assert(offsetof(VSS_PROVIDER_PROP, m_ProviderVersionId) == 40);
static_assert(offsetof(VSS_PROVIDER_PROP, m_ClassId) == 56);

static_assert(sizeof(VSS_OBJECT_PROP) == 136 && offsetof(VSS_OBJECT_PROP, Obj) == 8);

static_assert(sizeof(VSS_COMPONENTINFO) == 72);
static_assert(offsetof(VSS_COMPONENTINFO, bstrLogicalPath) == 8);
static_assert(offsetof(VSS_COMPONENTINFO, bstrComponentName) == 16);
static_assert(offsetof(VSS_COMPONENTINFO, bRestoreMetadata) == 44);
static_assert(offsetof(VSS_COMPONENTINFO, bSelectable) == 46);
static_assert(offsetof(VSS_COMPONENTINFO, dwComponentFlags) == 48);

}  // namespace
