/* A stand-in for NVIDIA's libcuda.so.1, of which VERSION is all that is looked at. */
const char *cuda_version(void) { return "libcuda " VERSION; }
