/* A stand-in for NVIDIA's libnvidia-ml.so.1, for the real nvidia-ctk on a synthetic host. It knows what the driver's files in
 * /proc and /sys say, and refuses, as the real one does, where the driver is not loaded or of another version. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID = 2, UNSUPPORTED = 3, ABSENT = 6, UNLOADED = 9, MISMATCH = 18 };

struct device {
	char bus[32], uuid[96];
	int minor, index, parent; /* parent is -1 for a GPU */
	int instance, compute;    /* of a MIG device */
};

static struct device devices[64];
static int number, gpus;

static void chomp(char *s) { s[strcspn(s, "\n")] = 0; }

static void value(const char *line, const char *key, char *out)
{
	size_t n = strlen(key);
	if (strncmp(line, key, n) == 0)
		strcpy(out, line + n + strspn(line + n, ": \t"));
}

static void read_gpu(const char *path)
{
	struct device *d = &devices[number];
	char line[256], minor[64] = "-1";
	FILE *f = fopen(path, "r");
	if (!f)
		return;
	while (fgets(line, sizeof line, f)) {
		chomp(line);
		value(line, "GPU UUID", d->uuid);
		value(line, "Device Minor", minor);
		value(line, "Bus Location", d->bus);
	}
	fclose(f);
	d->minor = atoi(minor);
	d->index = number++;
	d->parent = -1;
}

static void read_mig(int gpu)
{
	char pattern[128];
	glob_t g;
	snprintf(pattern, sizeof pattern, "/proc/driver/nvidia/capabilities/gpu%d/mig/gi*/ci*", devices[gpu].minor);
	if (glob(pattern, 0, 0, &g) != 0)
		return;
	for (size_t i = 0; i < g.gl_pathc; i++) {
		struct device *d = &devices[number];
		sscanf(strstr(g.gl_pathv[i], "/gi"), "/gi%d/ci%d", &d->instance, &d->compute);
		snprintf(d->uuid, sizeof d->uuid, "MIG-%08d-%04d-%04d-3333-444455556666", gpu, d->instance, d->compute);
		strcpy(d->bus, devices[gpu].bus);
		d->minor = devices[gpu].minor;
		d->index = i;
		d->parent = gpu;
		number++;
	}
	globfree(&g);
}

int nvmlInit_v2(void)
{
	char loaded[64] = "", own[PATH_MAX];
	Dl_info here;
	FILE *f = fopen("/sys/module/nvidia/version", "r");
	if (!f)
		return UNLOADED;
	if (!fgets(loaded, sizeof loaded, f))
		loaded[0] = 0;
	fclose(f);
	chomp(loaded);
	if (dladdr(nvmlInit_v2, &here) && realpath(here.dli_fname, own) && !strstr(own, loaded))
		return MISMATCH;
	number = 0;
	glob_t g;
	if (glob("/proc/driver/nvidia/gpus/*/information", 0, 0, &g) == 0) {
		for (size_t i = 0; i < g.gl_pathc; i++)
			read_gpu(g.gl_pathv[i]);
		globfree(&g);
	}
	gpus = number;
	for (int i = 0; i < gpus; i++)
		read_mig(i);
	return SUCCESS;
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; return nvmlInit_v2(); }
int nvmlInit(void) { return nvmlInit_v2(); }
int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int e)
{
	switch (e) {
	case SUCCESS: return "Success";
	case INVALID: return "Invalid Argument";
	case UNSUPPORTED: return "Not Supported";
	case ABSENT: return "Not Found";
	case UNLOADED: return "Driver Not Loaded";
	case MISMATCH: return "Driver/library version mismatch";
	}
	return "Unknown Error";
}

int nvmlSystemGetDriverVersion(char *out, unsigned n)
{
	FILE *f = fopen("/sys/module/nvidia/version", "r");
	if (!f || !fgets(out, n, f))
		return UNLOADED;
	fclose(f);
	chomp(out);
	return SUCCESS;
}

int nvmlSystemGetCudaDriverVersion(int *out) { *out = 13000; return SUCCESS; }
int nvmlSystemGetCudaDriverVersion_v2(int *out) { *out = 13000; return SUCCESS; }
int nvmlDeviceGetCount_v2(unsigned *out) { *out = gpus; return SUCCESS; }
int nvmlDeviceGetCount(unsigned *out) { *out = gpus; return SUCCESS; }

int nvmlDeviceGetHandleByIndex_v2(unsigned i, struct device **out)
{
	if ((int)i >= gpus)
		return INVALID;
	*out = &devices[i];
	return SUCCESS;
}

int nvmlDeviceGetHandleByIndex(unsigned i, struct device **out) { return nvmlDeviceGetHandleByIndex_v2(i, out); }

int nvmlDeviceGetHandleByUUID(const char *uuid, struct device **out)
{
	for (int i = 0; i < number; i++)
		if (strcmp(devices[i].uuid, uuid) == 0) {
			*out = &devices[i];
			return SUCCESS;
		}
	return ABSENT;
}

static int text(char *out, unsigned n, const char *s)
{
	snprintf(out, n, "%s", s);
	return SUCCESS;
}

int nvmlDeviceGetUUID(struct device *d, char *out, unsigned n) { return text(out, n, d->uuid); }
int nvmlDeviceGetName(struct device *d, char *out, unsigned n) { (void)d; return text(out, n, "NVIDIA H100"); }
int nvmlDeviceGetMinorNumber(struct device *d, unsigned *out) { *out = d->minor; return SUCCESS; }
int nvmlDeviceGetIndex(struct device *d, unsigned *out) { *out = d->index; return SUCCESS; }
int nvmlDeviceGetBrand(struct device *d, unsigned *out) { (void)d; *out = 2; return SUCCESS; }
int nvmlDeviceGetArchitecture(struct device *d, unsigned *out) { (void)d; *out = 9; return SUCCESS; }

int nvmlDeviceGetCudaComputeCapability(struct device *d, int *major, int *minor)
{
	(void)d;
	*major = 9;
	*minor = 0;
	return SUCCESS;
}

struct pci { char legacy[16]; unsigned domain, bus, device, id, subsystem; char full[32]; };

int nvmlDeviceGetPciInfo_v3(struct device *d, struct pci *p)
{
	memset(p, 0, sizeof *p);
	sscanf(d->bus, "%x:%x:%x", &p->domain, &p->bus, &p->device);
	p->id = 0x233010de;
	snprintf(p->legacy, sizeof p->legacy, "%.15s", d->bus);
	snprintf(p->full, sizeof p->full, "%08X:%02X:%02X.0", p->domain, p->bus, p->device);
	return SUCCESS;
}

int nvmlDeviceGetPciInfo(struct device *d, struct pci *p) { return nvmlDeviceGetPciInfo_v3(d, p); }
int nvmlDeviceIsMigDeviceHandle(struct device *d, unsigned *out) { *out = d->parent >= 0; return SUCCESS; }
int nvmlDeviceGetMaxMigDeviceCount(struct device *d, unsigned *out) { (void)d; *out = 7; return SUCCESS; }
int nvmlDeviceGetGpuInstanceId(struct device *d, unsigned *out) { *out = d->instance; return SUCCESS; }
int nvmlDeviceGetComputeInstanceId(struct device *d, unsigned *out) { *out = d->compute; return SUCCESS; }

int nvmlDeviceGetMigDeviceHandleByIndex(struct device *d, unsigned n, struct device **out)
{
	for (int i = gpus; i < number; i++)
		if (&devices[devices[i].parent] == d && devices[i].index == (int)n) {
			*out = &devices[i];
			return SUCCESS;
		}
	return ABSENT;
}

int nvmlDeviceGetMigMode(struct device *d, unsigned *current, unsigned *pending)
{
	struct device *first;
	*current = *pending = nvmlDeviceGetMigDeviceHandleByIndex(d, 0, &first) == SUCCESS;
	return SUCCESS;
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(struct device *d, struct device **out)
{
	*out = &devices[d->parent];
	return SUCCESS;
}

struct attributes { unsigned counts[9]; unsigned long long memory; };

int nvmlDeviceGetAttributes_v2(struct device *d, struct attributes *a)
{
	(void)d;
	memset(a, 0, sizeof *a);
	a->counts[7] = a->counts[8] = 1; /* slices of the instances */
	a->memory = 10 << 10;
	return SUCCESS;
}

int nvmlDeviceGetAttributes(struct device *d, struct attributes *a) { return nvmlDeviceGetAttributes_v2(d, a); }

/* Of instances there is one profile, whose number is 0; a MIG device stands for its own instances. */
int nvmlDeviceGetGpuInstanceById(struct device *d, unsigned id, struct device **out)
{
	for (int i = gpus; i < number; i++)
		if (&devices[devices[i].parent] == d && devices[i].instance == (int)id) {
			*out = &devices[i];
			return SUCCESS;
		}
	return ABSENT;
}

int nvmlGpuInstanceGetComputeInstanceById(struct device *d, unsigned id, struct device **out)
{
	(void)id;
	*out = d;
	return SUCCESS;
}

int nvmlGpuInstanceGetInfo(struct device *d, void *info) { (void)d; memset(info, 0, 24); return SUCCESS; }
int nvmlComputeInstanceGetInfo_v2(struct device *d, void *info) { (void)d; memset(info, 0, 32); return SUCCESS; }
int nvmlComputeInstanceGetInfo(struct device *d, void *info) { return nvmlComputeInstanceGetInfo_v2(d, info); }

int nvmlDeviceGetGpuInstanceProfileInfo(struct device *d, unsigned profile, void *info)
{
	(void)d;
	memset(info, 0, 48);
	return profile == 0 ? SUCCESS : UNSUPPORTED;
}

int nvmlGpuInstanceGetComputeInstanceProfileInfo(struct device *d, unsigned profile, unsigned engine, void *info)
{
	(void)d;
	memset(info, 0, 36);
	return profile == 0 && engine == 0 ? SUCCESS : UNSUPPORTED;
}

int nvmlDeviceGetMemoryInfo(struct device *d, unsigned long long *m)
{
	(void)d;
	m[0] = m[1] = 80ull << 30;
	m[2] = 0;
	return SUCCESS;
}
