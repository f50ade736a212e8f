/* A libnvidia-ml.so.1 that does what it is told. Structures and signatures are those of NVIDIA's nvml.h (CUDA 12.8 and later).
 *
 * Told by the environment variable FAKE_NVML or, later, by fake_nvml(text); words are separated by blanks:
 *   gpus=N            how many GPUs there are (default 8)
 *   mixed             every second GPU is a small PCIe card: no NVLink, no MIG, no ECC, no fabric
 *   mig               MIG is on, three devices each
 *   absurd            texts fill their buffers without an end, numbers are the largest there are
 *   latin             names are no UTF-8
 *   empty             texts are empty
 *   driver=VERSION    what nvmlSystemGetDriverVersion says (default 570.86.15)
 *   fail=CALL:STATUS  the call returns STATUS; CALL may be * for every call on a GPU, or CALL@GPU for one GPU only
 *   hang=CALL         the call never returns; CALL@GPU likewise
 *   crash=CALL        the call ends the process
 *
 * With -DOLD the library lacks what drivers before 2023 lacked. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int nvmlReturn_t;
typedef struct gpu { unsigned index; } *nvmlDevice_t;
typedef struct { char busIdLegacy[16]; unsigned domain, bus, device, pciDeviceId, pciSubSystemId; char busId[32]; } nvmlPciInfo_t;
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } nvmlMemory_v2_t;
typedef struct { unsigned long long bar1Total, bar1Free, bar1Used; } nvmlBAR1Memory_t;
typedef struct { unsigned gpu, memory; } nvmlUtilization_t;
typedef struct { unsigned version, value; } nvmlDeviceAddressingMode_t;
typedef struct { unsigned isC2cEnabled; } nvmlC2cModeInfo_v1_t;
typedef struct { unsigned version; unsigned char clusterUuid[16]; nvmlReturn_t status; unsigned cliqueId; unsigned state;
                 unsigned healthMask; unsigned char healthSummary; } nvmlGpuFabricInfo_v3_t;
typedef struct { unsigned version; char ibGuid[16]; char chassisSerialNumber[16];
                 unsigned char slotNumber, trayIndex, hostId, peerType, moduleId; } nvmlPlatformInfo_v2_t;
typedef struct { unsigned fieldId, scopeId; long long timestamp, latencyUsec; unsigned valueType; nvmlReturn_t nvmlReturn;
                 union { double d; unsigned ui; unsigned long ul; unsigned long long ull; } value; } nvmlFieldValue_t;

_Static_assert(sizeof(nvmlPciInfo_t) == 68, "nvmlPciInfo_t");
_Static_assert(sizeof(nvmlMemory_v2_t) == 0x28, "nvmlMemory_v2_t");
_Static_assert(sizeof(nvmlGpuFabricInfo_v3_t) == 0x28, "nvmlGpuFabricInfo_v3_t");
_Static_assert(sizeof(nvmlPlatformInfo_v2_t) == 0x2c, "nvmlPlatformInfo_v2_t");
_Static_assert(sizeof(nvmlFieldValue_t) == 40, "nvmlFieldValue_t");

#define MOST 16
static struct gpu gpus[MOST];
static char told[4096];

void fake_nvml(const char *text) { snprintf(told, sizeof told, " %s ", text); }

static void listen_once(void) {
    const char *text = getenv("FAKE_NVML");
    if (!told[0]) fake_nvml(text ? text : "");
}

static int is_told(const char *word) {
    char key[256];
    listen_once();
    snprintf(key, sizeof key, " %s ", word);
    return strstr(told, key) != NULL;
}

/* The text after "key" up to a blank, or NULL. */
static const char *value_of(const char *key) {
    static char value[256];
    char prefix[256];
    listen_once();
    snprintf(prefix, sizeof prefix, " %s", key);
    const char *found = strstr(told, prefix);
    if (!found) return NULL;
    found += strlen(prefix);
    snprintf(value, sizeof value, "%.*s", (int)strcspn(found, " "), found);
    return value;
}

static unsigned count(void) {
    const char *n = value_of("gpus=");
    unsigned wanted = n ? (unsigned)atoi(n) : 8;
    return wanted > MOST ? MOST : wanted;
}

static int begin(const char *call, int gpu) {
    char key[256];
    const char *status;
    snprintf(key, sizeof key, "hang=%s", call);
    int hang = is_told(key);
    snprintf(key, sizeof key, "hang=%s@%d", call, gpu);
    while (hang || is_told(key)) pause();
    snprintf(key, sizeof key, "crash=%s", call);
    if (is_told(key)) abort();
    snprintf(key, sizeof key, "fail=%s:", call);
    if ((status = value_of(key))) return atoi(status);
    if (gpu >= 0) {
        snprintf(key, sizeof key, "fail=%s@%d:", call, gpu);
        if ((status = value_of(key))) return atoi(status);
        snprintf(key, sizeof key, "fail=*@%d:", gpu);
        if ((status = value_of(key))) return atoi(status);
    }
    return 0;
}

static int small(nvmlDevice_t gpu) { return is_told("mixed") && gpu->index % 2; }

static void write_text(char *to, unsigned size, const char *text) {
    if (is_told("absurd")) memset(to, 'A', size);
    else if (is_told("empty")) to[0] = 0;
    else snprintf(to, size, "%s", text);
}

static unsigned number(unsigned value) { return is_told("absurd") ? 0xffffffffu : value; }
static unsigned long long large(unsigned long long value) { return is_told("absurd") ? ~0ull : value; }

#define ENTER(gpu) do { int status_ = begin(__func__, gpu); if (status_) return status_; } while (0)
#define GPU(name, ...) nvmlReturn_t name(nvmlDevice_t gpu, __VA_ARGS__)
#define UNLESS_SMALL do { if (small(gpu)) return 3; } while (0)
#define NUMBER(name, value) GPU(name, unsigned *out) { ENTER(gpu->index); *out = number(value); return 0; }
#define BIG(name, value) GPU(name, unsigned *out) { ENTER(gpu->index); UNLESS_SMALL; *out = number(value); return 0; }
#define TEXT(name, text) GPU(name, char *out, unsigned size) { ENTER(gpu->index); write_text(out, size, text); return 0; }

nvmlReturn_t nvmlInitWithFlags(unsigned flags) { (void)flags; ENTER(-1); return 0; }
nvmlReturn_t nvmlShutdown(void) { ENTER(-1); return 0; }
const char *nvmlErrorString(nvmlReturn_t status) { (void)status; return "a text that nobody should need"; }

nvmlReturn_t nvmlSystemGetDriverVersion(char *out, unsigned size) {
    ENTER(-1);
    const char *version = value_of("driver=");
    write_text(out, size, version ? version : "570.86.15");
    return 0;
}
nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *out) { ENTER(-1); *out = is_told("absurd") ? -1 : 12080; return 0; }
nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *out) { ENTER(-1); *out = count(); return 0; }
nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *out) {
    ENTER((int)index);
    if (index >= count()) return 2;
    gpus[index].index = index;
    *out = &gpus[index];
    return 0;
}

GPU(nvmlDeviceGetName, char *out, unsigned size) {
    ENTER(gpu->index);
    write_text(out, size, is_told("latin") ? "NVIDIA \xa9 H100" : small(gpu) ? "NVIDIA L4" : "NVIDIA H100 80GB HBM3");
    return 0;
}
GPU(nvmlDeviceGetUUID, char *out, unsigned size) {
    char text[64];
    ENTER(gpu->index);
    snprintf(text, sizeof text, "GPU-ab6ab95d-8259-5551-5962-e4a7a710fb%02x", gpu->index);
    write_text(out, size, text);
    return 0;
}
TEXT(nvmlDeviceGetSerial, "1652923034028")
TEXT(nvmlDeviceGetBoardPartNumber, "692-2G520-0200-000")
TEXT(nvmlDeviceGetVbiosVersion, "96.00.A5.00.01")
TEXT(nvmlDeviceGetInforomImageVersion, "G520.0200.00.05")
GPU(nvmlDeviceGetInforomVersion, unsigned object, char *out, unsigned size) {
    ENTER(gpu->index);
    if (object == 2) return 3;
    write_text(out, size, object ? "7.16" : "2.1");
    return 0;
}
GPU(nvmlDeviceGetGspFirmwareVersion, char *out) { ENTER(gpu->index); write_text(out, 0x40, "570.86.15"); return 0; }
GPU(nvmlDeviceGetGspFirmwareMode, unsigned *on, unsigned *usual) { ENTER(gpu->index); *on = number(1); *usual = number(1); return 0; }

GPU(nvmlDeviceGetArchitecture, unsigned *out) { ENTER(gpu->index); *out = number(small(gpu) ? 8 : 9); return 0; }
GPU(nvmlDeviceGetCudaComputeCapability, int *major, int *minor) {
    ENTER(gpu->index);
    *major = small(gpu) ? 8 : 9;
    *minor = small(gpu) ? 9 : 0;
    return 0;
}
GPU(nvmlDeviceGetPciInfo_v3, nvmlPciInfo_t *out) {
    ENTER(gpu->index);
    memset(out, 0, sizeof *out);
    out->bus = 0x10 + gpu->index;
    out->pciDeviceId = 0x233010de;
    out->pciSubSystemId = 0x16c110de;
    if (is_told("absurd")) memset(out->busId, 0xff, sizeof out->busId);
    else snprintf(out->busId, sizeof out->busId, "00000000:%02X:00.0", out->bus);
    return 0;
}
NUMBER(nvmlDeviceGetMinorNumber, gpu->index)
NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, 4)
NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, 1)
NUMBER(nvmlDeviceGetMaxPcieLinkWidth, 16)
NUMBER(nvmlDeviceGetCurrPcieLinkWidth, 16)
NUMBER(nvmlDeviceGetPersistenceMode, 0)
NUMBER(nvmlDeviceGetDisplayMode, 1)
NUMBER(nvmlDeviceGetDisplayActive, 0)
NUMBER(nvmlDeviceGetComputeMode, 0)
NUMBER(nvmlDeviceGetPowerManagementLimit, small(gpu) ? 72000 : 700000)
NUMBER(nvmlDeviceGetPowerManagementDefaultLimit, small(gpu) ? 72000 : 700000)
NUMBER(nvmlDeviceGetEnforcedPowerLimit, small(gpu) ? 72000 : 700000)
NUMBER(nvmlDeviceGetPowerUsage, 70934)
NUMBER(nvmlDeviceGetPerformanceState, 0)
NUMBER(nvmlDeviceGetPcieReplayCounter, 3)
BIG(nvmlDeviceGetModuleId, gpu->index + 1)
GPU(nvmlDeviceGetPowerManagementLimitConstraints, unsigned *least, unsigned *most) {
    ENTER(gpu->index);
    *least = number(small(gpu) ? 40000 : 200000);
    *most = number(small(gpu) ? 72000 : 700000);
    return 0;
}
GPU(nvmlDeviceGetMemoryInfo, nvmlMemory_t *out) {
    ENTER(gpu->index);
    out->total = large((small(gpu) ? 23034ull : 81559ull) << 20);
    out->free = out->total;
    out->used = 0;
    return 0;
}
GPU(nvmlDeviceGetMemoryInfo_v2, nvmlMemory_v2_t *out) {
    ENTER(gpu->index);
    if (out->version != 0x02000028) return 25;
    out->total = large(81559ull << 20);
    out->reserved = large(469ull << 20);
    out->used = large(1ull << 20);
    out->free = 0;
    return 0;
}
GPU(nvmlDeviceGetBAR1MemoryInfo, nvmlBAR1Memory_t *out) {
    ENTER(gpu->index);
    out->bar1Total = large(131072ull << 20);
    out->bar1Used = large(1ull << 20);
    out->bar1Free = 0;
    return 0;
}
GPU(nvmlDeviceGetEccMode, unsigned *now, unsigned *then) {
    ENTER(gpu->index);
    UNLESS_SMALL;
    *now = *then = number(1);
    return 0;
}
GPU(nvmlDeviceGetMigMode, unsigned *now, unsigned *then) {
    ENTER(gpu->index);
    UNLESS_SMALL;
    *now = *then = number((unsigned)is_told("mig"));
    return 0;
}
BIG(nvmlDeviceGetMaxMigDeviceCount, 7)
GPU(nvmlDeviceGetMigDeviceHandleByIndex, unsigned index, nvmlDevice_t *out) {
    ENTER(gpu->index);
    if (index >= 3) return 6;
    *out = gpu;
    return 0;
}
GPU(nvmlDeviceGetVirtualizationMode, unsigned long long *out) { ENTER(gpu->index); *out = 1; return 0; }
GPU(nvmlDeviceGetNumaNodeId, unsigned *out) { ENTER(gpu->index); (void)out; return 3; }
GPU(nvmlDeviceGetApplicationsClock, unsigned type, unsigned *out) { ENTER(gpu->index); *out = number(type ? 2619 : 1980); return 0; }
GPU(nvmlDeviceGetMaxClockInfo, unsigned type, unsigned *out) {
    static const unsigned mhz[] = {1980, 1980, 2619, 1545};
    ENTER(gpu->index);
    if (type > 3) return 2;
    *out = number(mhz[type]);
    return 0;
}
GPU(nvmlDeviceGetClockInfo, unsigned type, unsigned *out) {
    static const unsigned mhz[] = {345, 345, 2619, 765};
    ENTER(gpu->index);
    if (type > 3) return 2;
    *out = number(mhz[type]);
    return 0;
}
GPU(nvmlDeviceGetTemperature, unsigned sensor, unsigned *out) { ENTER(gpu->index); (void)sensor; *out = number(33); return 0; }
GPU(nvmlDeviceGetUtilizationRates, nvmlUtilization_t *out) { ENTER(gpu->index); out->gpu = number(0); out->memory = number(0); return 0; }
GPU(nvmlDeviceGetTotalEccErrors, unsigned error, unsigned counter, unsigned long long *out) {
    ENTER(gpu->index);
    UNLESS_SMALL;
    *out = error || counter ? 0 : 2;
    return 0;
}
GPU(nvmlDeviceGetNvLinkState, unsigned link, unsigned *out) {
    ENTER(gpu->index);
    UNLESS_SMALL;
    if (link >= 18) return 2;
    *out = !(gpu->index == 3 && link == 17); /* one link of the fourth GPU is down */
    return 0;
}
GPU(nvmlDeviceGetNvLinkRemoteDeviceType, unsigned link, unsigned *out) { ENTER(gpu->index); (void)link; *out = number(2); return 0; }
GPU(nvmlDeviceGetNvLinkRemotePciInfo_v2, unsigned link, nvmlPciInfo_t *out) {
    ENTER(gpu->index);
    memset(out, 0, sizeof *out);
    write_text(out->busId, sizeof out->busId, link < 9 ? "00000000:06:00.0" : "00000000:07:00.0");
    return 0;
}
GPU(nvmlDeviceGetNvLinkVersion, unsigned link, unsigned *out) { ENTER(gpu->index); UNLESS_SMALL; (void)link; *out = number(6); return 0; }
GPU(nvmlDeviceGetNvLinkErrorCounter, unsigned link, int kind, unsigned long long *out) {
    ENTER(gpu->index);
    *out = gpu->index == 2 && link == 5 && kind == 1 ? 3 : large(0); /* a link of the third GPU recovered three times */
    return 0;
}
GPU(nvmlDeviceGetP2PStatus, nvmlDevice_t other, int index, unsigned *out) {
    ENTER(gpu->index);
    *out = index == 2 && (small(gpu) || small(other)) ? 5 : number(0);
    return 0;
}
GPU(nvmlDeviceGetTopologyCommonAncestor, nvmlDevice_t other, unsigned *out) {
    ENTER(gpu->index);
    *out = gpu->index / 4 == other->index / 4 ? 40 : 50;
    return 0;
}
GPU(nvmlDeviceGetRemappedRows, unsigned *corr, unsigned *unc, unsigned *pending, unsigned *failed) {
    ENTER(gpu->index);
    UNLESS_SMALL;
    *corr = *unc = number(0);
    *pending = *failed = 0;
    return 0;
}
GPU(nvmlDeviceGetRetiredPages, unsigned cause, unsigned *n, unsigned long long *pages) {
    ENTER(gpu->index);
    (void)cause, (void)pages;
    if (!small(gpu)) return 3;
    *n = 0;
    return 0;
}
GPU(nvmlDeviceGetRetiredPagesPendingStatus, unsigned *out) { ENTER(gpu->index); if (!small(gpu)) return 3; *out = 0; return 0; }
GPU(nvmlDeviceGetFieldValues, int n, nvmlFieldValue_t *values) {
    ENTER(gpu->index);
    for (int i = 0; i < n; i++) {
        values[i].nvmlReturn = 0;
        values[i].valueType = is_told("absurd") ? 77 : 1;
        switch (values[i].fieldId) {
            case 82: values[i].value.ui = 40; break;
            case 90: values[i].value.ui = 26562; if (small(gpu)) values[i].nvmlReturn = 3; break;
            case 91: values[i].value.ui = 18; if (small(gpu)) values[i].nvmlReturn = 3; break;
#ifndef OLD
            case 230: values[i].value.ui = 0; break;
#endif
            default: values[i].nvmlReturn = 2;
        }
    }
    return 0;
}

#ifdef OLD
GPU(nvmlDeviceGetCurrentClocksThrottleReasons, unsigned long long *out) { ENTER(gpu->index); *out = 1; return 0; }
#else
typedef struct { unsigned version; char branch[80]; } nvmlSystemDriverBranchInfo_v1_t;
typedef struct { unsigned environment, ccFeature, devToolsMode; } nvmlConfComputeSystemState_t;
typedef struct { unsigned version, perf[8], requested[8], enforced[8]; } nvmlWorkloadPowerProfileCurrentProfiles_v1_t;
_Static_assert(sizeof(nvmlSystemDriverBranchInfo_v1_t) == 0x54, "nvmlSystemDriverBranchInfo_v1_t");
_Static_assert(sizeof(nvmlWorkloadPowerProfileCurrentProfiles_v1_t) == 0x64, "nvmlWorkloadPowerProfileCurrentProfiles_v1_t");
nvmlReturn_t nvmlSystemGetDriverBranch(nvmlSystemDriverBranchInfo_v1_t *out, unsigned size) {
    (void)size;
    ENTER(-1);
    write_text(out->branch, sizeof out->branch, "r570_00");
    return 0;
}
nvmlReturn_t nvmlSystemGetConfComputeState(nvmlConfComputeSystemState_t *out) {
    ENTER(-1);
    out->environment = number(2);
    out->ccFeature = out->devToolsMode = number(0);
    return 0;
}
GPU(nvmlDeviceWorkloadPowerProfileGetCurrentProfiles, nvmlWorkloadPowerProfileCurrentProfiles_v1_t *out) {
    ENTER(gpu->index);
    if (out->version != 0x1000064) return 25;
    UNLESS_SMALL;
    out->requested[0] = out->enforced[0] = number(1 << 5 | 1 << 7);
    return 0;
}
GPU(nvmlDeviceGetCurrentClocksEventReasons, unsigned long long *out) { ENTER(gpu->index); *out = large(0x1); return 0; }
NUMBER(nvmlDeviceGetGpuMaxPcieLinkGeneration, 5)
GPU(nvmlDeviceGetAddressingMode, nvmlDeviceAddressingMode_t *out) {
    ENTER(gpu->index);
    if (out->version != 0x1000008) return 25;
    out->value = 0;
    return 0;
}
GPU(nvmlDeviceGetC2cModeInfoV, nvmlC2cModeInfo_v1_t *out) { ENTER(gpu->index); out->isC2cEnabled = 0; return 0; }
GPU(nvmlDeviceGetGpuFabricInfoV, nvmlGpuFabricInfo_v3_t *out) {
    ENTER(gpu->index);
    if (out->version != 0x3000028 && out->version != 0x2000024) return 25;
    if (is_told("fabric-v2") && out->version != 0x2000024) return 25;
    out->state = small(gpu) ? 0 : 3;
    out->status = 0;
    out->cliqueId = number(7);
    memset(out->clusterUuid, 0xab, 16);
    out->healthMask = 2 | 2 << 2 | 2 << 4 | 2 << 6 | 1 << 8; /* full, false, false, false, none */
    if (out->version == 0x3000028) out->healthSummary = 1;
    return 0;
}
GPU(nvmlDeviceGetPlatformInfo, nvmlPlatformInfo_v2_t *out) {
    ENTER(gpu->index);
    if (out->version != 0x200002c) return 25;
    UNLESS_SMALL;
    memset(out->chassisSerialNumber, is_told("absurd") ? 0xff : 0, sizeof out->chassisSerialNumber);
    if (!is_told("absurd") && !is_told("no-chassis")) memcpy(out->chassisSerialNumber, "1820324210001", 13);
    out->slotNumber = 200; /* beyond ASCII, which the bindings would try to decode */
    out->trayIndex = 4;
    out->hostId = 1;
    out->peerType = 1;
    out->moduleId = 1;
    return 0;
}
#endif
