// tfjs-node's binding (its sources, from the installed package) with what it lacks; `octavo tensorflow link` compiles
// this file against the TensorFlow of the machine. It adds listDevices() and loadOps() and changes two things through macros, because
// the sources themselves belong to another package:
//   - GPU memory grows as it is needed, unless TF_FORCE_GPU_ALLOW_GROWTH says otherwise; TensorFlow would take all of it.
//   - The set of attribute names is per thread; one set, unlocked, was written to by every thread that runs an op.
#include <dlfcn.h>
#include <node_api.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/eager/c_api.h"

namespace octavo {

// Node gives each of its threads one instance of the binding, and each instance makes one context.
static thread_local TFE_Context* context = nullptr;

static TFE_ContextOptions* NewContextOptions() {
  // A serialized ConfigProto { gpu_options { allow_growth: true } }.
  static const unsigned char config[] = {0x32, 0x02, 0x20, 0x01};
  TFE_ContextOptions* options = TFE_NewContextOptions();
  TF_Status* status = TF_NewStatus();
  TFE_ContextOptionsSetConfig(options, config, sizeof(config), status);
  TF_DeleteStatus(status);  // a TensorFlow that cannot read it goes on with its own defaults
  return options;
}

static TFE_Context* NewContext(const TFE_ContextOptions* options, TF_Status* status) {
  context = TFE_NewContext(options, status);
  return context;
}

}  // namespace octavo

namespace tfnodejs {

static std::set<std::string>* AttrNames() {
  static thread_local std::set<std::string> names;
  return &names;
}

}  // namespace tfnodejs

// The source's `static std::set<std::string> ATTR_NAME_SET;` becomes a second declaration of the function above, and each
// use of the set a call of it.
#define ATTR_NAME_SET (*AttrNames())
#define TFE_NewContextOptions octavo::NewContextOptions
#define TFE_NewContext octavo::NewContext
#include "binding/tfjs_backend.cc"
#undef TFE_NewContext
#undef TFE_NewContextOptions
#undef ATTR_NAME_SET

// Its own registration is dropped in favour of the one at the end.
#undef NAPI_MODULE
#define NAPI_MODULE(name, init) static const auto octavo_init = init;
#include "binding/tfjs_binding.cc"

namespace octavo {

static void Set(napi_env env, napi_value object, const char* name, const char* text) {
  napi_value value;
  if (napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value) == napi_ok)
    napi_set_named_property(env, object, name, value);
}

static napi_value DeviceAt(napi_env env, const TF_DeviceList* devices, int index, TF_Status* status) {
  napi_value device, bytes;
  napi_create_object(env, &device);
  const char* type = TF_DeviceListType(devices, index, status);
  const char* name = TF_DeviceListName(devices, index, status);
  const int64_t memory = TF_DeviceListMemoryBytes(devices, index, status);
  if (TF_GetCode(status) != TF_OK) return nullptr;
  Set(env, device, "type", type);
  Set(env, device, "name", name);
  napi_create_int64(env, memory, &bytes);
  napi_set_named_property(env, device, "memoryBytes", bytes);
  return device;
}

// () → [{type, name, memoryBytes}]
static napi_value ListDevices(napi_env env, napi_callback_info) {
  TF_Status* status = TF_NewStatus();
  TF_DeviceList* devices = TFE_ContextListDevices(context, status);
  napi_value list;
  napi_create_array(env, &list);
  if (TF_GetCode(status) == TF_OK) {
    for (int i = 0; i < TF_DeviceListCount(devices); i++) {
      napi_value device = DeviceAt(env, devices, i, status);
      if (device != nullptr) napi_set_element(env, list, static_cast<uint32_t>(i), device);
    }
  }
  if (TF_GetCode(status) != TF_OK) napi_throw_error(env, nullptr, TF_Message(status));
  if (devices != nullptr) TF_DeleteDeviceList(devices);
  TF_DeleteStatus(status);
  return list;
}

// (file) → the device that a library of ops is for, then their names, with spaces between. Once loaded, it stays.
static napi_value LoadOps(napi_env env, napi_callback_info info) {
  size_t count = 1, length = 0;
  napi_value file, names = nullptr;
  if (napi_get_cb_info(env, info, &count, &file, nullptr, nullptr) != napi_ok || count < 1 ||
      napi_get_value_string_utf8(env, file, nullptr, 0, &length) != napi_ok) {
    napi_throw_type_error(env, nullptr, "loadOps takes a file's name");
    return nullptr;
  }
  std::vector<char> name(length + 1);
  napi_get_value_string_utf8(env, file, name.data(), name.size(), &length);
  TF_Status* status = TF_NewStatus();
  TF_Library* library = TF_LoadLibrary(name.data(), status);
  if (TF_GetCode(status) != TF_OK) {
    napi_throw_error(env, nullptr, TF_Message(status));
  } else {
    void* loaded = dlopen(name.data(), RTLD_NOW | RTLD_NOLOAD);
    void* symbol = loaded == nullptr ? nullptr : dlsym(loaded, "octavo_fused_ops");
    if (symbol == nullptr) {
      napi_throw_error(env, nullptr, "it is no library of Octavo's ops");
    } else {
      napi_create_string_utf8(env, reinterpret_cast<const char* (*)()>(symbol)(), NAPI_AUTO_LENGTH, &names);
    }
  }
  if (library != nullptr) TF_DeleteLibraryHandle(library);
  TF_DeleteStatus(status);
  return names;
}

static void SetFunction(napi_env env, napi_value exports, const char* name, napi_callback function) {
  napi_value value;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, function, nullptr, &value) == napi_ok)
    napi_set_named_property(env, exports, name, value);
}

}  // namespace octavo

NAPI_MODULE_INIT() {
  napi_value result = tfnodejs::octavo_init(env, exports);
  bool failed = false;
  if (napi_is_exception_pending(env, &failed) != napi_ok || failed || result == nullptr) return nullptr;
  octavo::SetFunction(env, exports, "listDevices", octavo::ListDevices);
  octavo::SetFunction(env, exports, "loadOps", octavo::LoadOps);
  return result;
}
