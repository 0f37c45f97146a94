# What both variants of the addon share; offheap.gypi includes it in each.
{
  # NAPI_VERSION is fixed, not the building Node's own: a binary built on a newer Node must load in Node 20.
  # A worker may be terminated in the middle of a call; then an error that cannot be thrown is dropped, where
  # node-addon-api would end the process.
  "defines": [
    "NAPI_VERSION=8",
    "NAPI_DISABLE_CPP_EXCEPTIONS",
    "NODE_ADDON_API_DISABLE_DEPRECATED",
    "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"
  ],
  "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
  "sources": [
    "addon.cc",
    "calls.cc",
    "default_heap.cc",
    "departure_watch.cc",
    "environment.cc",
    "heap_object.cc",
    "lease.cc",
    "open_heap.cc",
    "snapshot.cc"
  ],
  "conditions": [
    ["OS=='linux'", {
      "sources": ["older_systems_linux.cc"],
      # Never unloaded: a buffer may outlive the worker that alone had loaded the library, and its finalizer is here.
      "ldflags": ["-Wl,-z,nodelete", "-Wl,--exclude-libs,ALL"]
    }]
  ]
}
