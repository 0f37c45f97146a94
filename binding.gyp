{
  "variables": {
    "openssl_fips": "",
    "warnings": ["-Wall", "-Wextra", "-Wno-unused-parameter"]
  },
  "target_defaults": {
    "include_dirs": ["native"],
    "cflags_cc!": ["-std=gnu++17"],
    "cflags_cc": ["-std=gnu++20", "-fvisibility=hidden", "<@(warnings)"],
    "conditions": [
      ["OS=='linux'", {
        # The owner of a heap is found by the address of a thread-local variable: one instruction with this model, a
        # call without it. The library needs one byte of static thread-local storage.
        "cflags_cc": ["-ftls-model=initial-exec"]
      }],
      ["OS=='mac'", {
        "xcode_settings": {
          "CLANG_CXX_LANGUAGE_STANDARD": "gnu++20",
          "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
          "MACOSX_DEPLOYMENT_TARGET": "11.0"
        }
      }],
      ["OS=='win'", {
        "msvs_settings": {"VCCLCompilerTool": {"AdditionalOptions": ["/std:c++20", "/Zc:__cplusplus"]}}
      }]
    ]
  },
  "targets": [
    {
      # native/os and native/heap: no Node in it. native/Makefile builds the same sources with their own tests.
      "target_name": "offheap_core",
      "type": "static_library",
      "sources": [
        "native/heap/decay.cc",
        "native/heap/double_free.cc",
        "native/heap/dynamic_bucket.cc",
        "native/heap/free.cc",
        "native/heap/heap.cc",
        "native/heap/huge_block.cc",
        "native/heap/invariants.cc",
        "native/heap/realloc.cc",
        "native/heap/region.cc",
        "native/heap/region_map.cc",
        "native/heap/release_retry.cc",
        "native/heap/reservation.cc",
        "native/heap/size_classes.cc",
        "native/heap/statistics.cc",
        "native/os/calls.cc",
        "native/os/clock.cc"
      ],
      "conditions": [
        ["OS=='win'", {"sources": ["native/os/pages_windows.cc"]}, {"sources": ["native/os/pages_posix.cc"]}]
      ]
    },
    {
      "target_name": "offheap",
      "dependencies": ["offheap_core"],
      # Fixed, not the building Node's own: a binary built on a newer Node must load in Node 20.
      # A worker may be terminated in the middle of a call; then an error that cannot be thrown is dropped, where
      # node-addon-api would end the process.
      "defines": ["NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS", "NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_DEPRECATED", "NAPI_DISABLE_CPP_EXCEPTIONS"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "sources": [
        "native/binding/addon.cc",
        "native/binding/array_buffers_napi.cc",
        "native/binding/departure_watch.cc",
        "native/binding/environment.cc",
        "native/binding/heap_object.cc",
        "native/binding/leases.cc",
        "native/binding/snapshot.cc"
      ],
      "conditions": [
        ["OS=='linux'", {
          # Never unloaded: a buffer may outlive the worker that alone had loaded the library, and its finalizer is here.
          "ldflags": ["-Wl,-z,nodelete", "-Wl,--exclude-libs,ALL"]
        }]
      ]
    }
  ]
}
