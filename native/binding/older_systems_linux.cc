// Symbols that a newer compiler and C library take from the system, and that older systems do not have: with these of
// our own the published binaries load wherever Node 20 does (glibc 2.28). `npm run test:package` shows what each binary
// needs.
//
// Weak, so that they give way where the C++ library is linked in. Nothing is included here that declares them, or they
// could not be hidden from the rest of the process.

extern "C" {

// glibc 2.32. Whether the process has one thread only, in which case libstdc++ counts references without atomic
// operations. Ours always counts with them, which is right with any number of threads; a runtime has several anyway.
[[gnu::visibility("hidden"), gnu::weak, gnu::used]] char __libc_single_threaded = 0;

// GCC 11: std::__throw_bad_array_new_length(). For a container that is to hold more than the address space: no caller
// of ours can ask for it, and there are no exceptions here.
[[noreturn, gnu::visibility("hidden"), gnu::weak, gnu::used]] void offheap_throw_bad_array_new_length() __asm__(
    "_ZSt28__throw_bad_array_new_lengthv");
void offheap_throw_bad_array_new_length() { __builtin_trap(); }
}
