# What the addon is made of. A checkout's binding.gyp includes it, and so does the one that compile.mjs writes.
{
  "variables": {
    "openssl_fips": "",
    # Which variants to build: "both", "v8" or "napi" (node-gyp rebuild --buffers=napi).
    "buffers%": "both",
    "warnings": ["-Wall", "-Wextra", "-Wno-unused-parameter"]
  },
  "target_defaults": {
    "include_dirs": ["."],
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
      # os and heap: no Node in it. The Makefile builds the same sources with their own tests.
      "target_name": "offheap_core",
      "type": "static_library",
      "sources": [
        "heap/decay.cc",
        "heap/double_free.cc",
        "heap/dynamic_bucket.cc",
        "heap/free.cc",
        "heap/heap.cc",
        "heap/huge_block.cc",
        "heap/invariants.cc",
        "heap/realloc.cc",
        "heap/region.cc",
        "heap/region_map.cc",
        "heap/release_retry.cc",
        "heap/reservation.cc",
        "heap/shared_heap.cc",
        "heap/size_classes.cc",
        "heap/statistics.cc",
        "os/calls.cc",
        "os/clock.cc",
        "os/fences.cc"
      ],
      "conditions": [
        ["OS=='win'", {
          "sources": ["os/late_touches_windows.cc", "os/lock_windows.cc", "os/pages_windows.cc"]
        }, {
          "sources": ["os/pages_posix.cc"]
        }]
      ]
    }
  ],
  "conditions": [
    ["buffers!='v8'", {
      "targets": [
        {
          # Loads in every runtime with Node-API.
          "target_name": "offheap_napi",
          "product_name": "offheap.napi",
          "dependencies": ["offheap_core"],
          "includes": ["binding/binding.gypi"],
          "sources": [
            "binding/array_buffers_napi.cc",
            "binding/calls_napi.cc",
            "binding/lease_map.cc"
          ]
        }
      ]
    }],
    ["buffers!='napi'", {
      "targets": [
        {
          # For the one version of Node's ABI whose headers it is compiled with.
          "target_name": "offheap_v8",
          "product_name": "offheap.abi<(node_module_version)",
          "dependencies": ["offheap_core"],
          "includes": ["binding/binding.gypi"],
          "defines": ["OFFHEAP_MODULE_VERSION=<(node_module_version)"],
          "conditions": [
            ["OS=='linux'", {
              # All symbols are found when it is loaded, or the loader goes on to the Node-API variant. Found one by one
              # when they are first called, a missing one would end the process.
              "ldflags": ["-Wl,-z,now"]
            }]
          ],
          # A shared_ptr is asked whether its reference count is ours by the type of a function object.
          "cflags_cc!": ["-fno-rtti"],
          "cflags_cc": ["-frtti"],
          "xcode_settings": {"GCC_ENABLE_CPP_RTTI": "YES"},
          "msvs_settings": {"VCCLCompilerTool": {"RuntimeTypeInfo": "true"}},
          "sources": ["binding/array_buffers_v8.cc", "binding/calls_v8.cc"]
        }
      ]
    }]
  ]
}
