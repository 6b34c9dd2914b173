/*
 * The one function of bcryptprimitives.dll that Rust's standard library uses, for a Wine that has no such library. It goes into
 * the Wine prefix of the tests and nowhere else: Windows has its own.
 */
__declspec(dllimport) unsigned char __stdcall SystemFunction036(void *buffer, unsigned long length);

__declspec(dllexport) int __stdcall ProcessPrng(unsigned char *buffer, unsigned long long length)
{
    return SystemFunction036(buffer, (unsigned long)length);
}
