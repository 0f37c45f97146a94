// Where what the addon imports from node.exe is found, for a build without node-gyp, which brings such a file of its
// own.
//
// The import names NODE.EXE. The host may have another name (a renamed node.exe, a program with Node in it); what it
// exports is the same. So the import is of the kind that is bound at the first call, and the hook which is asked first
// answers with the program that is running; or with libnode.dll, where Node lies in that.
#include <windows.h>
// After windows.h, without which it does not compile.
#include <delayimp.h>

#include <cstring>

namespace {

FARPROC WINAPI find_host(unsigned event, DelayLoadInfo* information) {
  if (event != dliNotePreLoadLibrary || _stricmp(information->szDll, "NODE.EXE") != 0) return nullptr;
  const HMODULE library = GetModuleHandleW(L"libnode.dll");
  return reinterpret_cast<FARPROC>(library != nullptr ? library : GetModuleHandleW(nullptr));
}

}  // namespace

extern "C" {
PfnDliHook __pfnDliNotifyHook2 = find_host;
}
