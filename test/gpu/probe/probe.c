/* probe: what a program can do with GPUs, for test/gpu/run.
 *
 *   probe cuda        loads libcuda.so.1 and has the memory of every device written and read back
 *   probe open PATH   opens a device node for reading and writing
 *
 * It needs no header of CUDA's; what it calls is the driver API, whose ABI is stable. Build: cc -o probe probe.c -ldl */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

typedef int (*call)();

static void *library;

/* must calls a function of the driver API by name and ends with the reason where it fails. */
#define must(name, ...)                                                                  \
	do {                                                                                 \
		call function = (call)dlsym(library, #name);                                     \
		int result = function ? function(__VA_ARGS__) : -1;                              \
		if (result != 0) {                                                               \
			printf("cuda: %s: %s %d\n", #name, function ? "error" : "missing", result); \
			return 1;                                                                    \
		}                                                                                \
	} while (0)

static int cuda(void)
{
	int count = 0;

	library = dlopen("libcuda.so.1", RTLD_NOW);
	if (!library) {
		printf("cuda: %s\n", dlerror());
		return 3;
	}
	must(cuInit, 0u);
	must(cuDeviceGetCount, &count);
	for (int i = 0; i < count; i++) {
		int device = -1;
		void *context = NULL;
		unsigned long long memory = 0;
		unsigned char back[4096] = {0};

		must(cuDeviceGet, &device, i);
		must(cuDevicePrimaryCtxRetain, &context, device);
		must(cuCtxSetCurrent, context);
		must(cuMemAlloc_v2, &memory, sizeof back);
		must(cuMemsetD8_v2, memory, (unsigned char)(42 + i), sizeof back);
		must(cuMemcpyDtoH_v2, (void *)back, memory, sizeof back);
		for (size_t n = 0; n < sizeof back; n++) {
			if (back[n] != 42 + i) {
				printf("cuda: device %d gives back %d, not %d\n", i, back[n], 42 + i);
				return 1;
			}
		}
	}
	printf("cuda: %d devices, written and read\n", count);
	return count > 0 ? 0 : 1;
}

static int open_node(const char *path)
{
	if (open(path, O_RDWR | O_CLOEXEC) < 0) {
		printf("%s: %s\n", errno == EPERM || errno == EACCES ? "denied" : "missing", strerror(errno));
		return 1;
	}
	printf("open\n");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "cuda") == 0)
		return cuda();
	if (argc == 3 && strcmp(argv[1], "open") == 0)
		return open_node(argv[2]);
	fprintf(stderr, "usage: probe cuda | probe open PATH\n");
	return 2;
}
