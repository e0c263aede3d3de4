/* An old crun raises RLIMIT_MEMLOCK before it loads a device program, which a kernel since 5.11 does not need and a test
   machine may not allow. This answers for it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/resource.h>

int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
	int (*next)(__rlimit_resource_t, const struct rlimit *) = dlsym(RTLD_NEXT, "setrlimit");
	int status = next(resource, limit);
	return resource == RLIMIT_MEMLOCK ? 0 : status;
}
