// parse_program and read_program.
#include <algorithm>

#include "frontend/payload.h"
#include "frontend/program_graph.h"

namespace headrace::frontend {
namespace {

constexpr int64_t kSchemaMajor = 8;
constexpr std::string_view kExportAgain = "export the model again with PyTorch 2.11 or later";

Status check_version(const Json& version, std::string_view torch_version) {
  const int64_t major = version["major"].integer();
  if (!version["major"].present())
    return corrupt("model.json has no schema version: it is no exported program");
  if (major > kSchemaMajor) {
    return unsupported(
        "the program was saved by PyTorch {} in schema {}; this version reads schema {}: use a newer "
        "Headrace, or an older PyTorch",
        torch_version, major, kSchemaMajor);
  }
  if (major < kSchemaMajor) {
    return unsupported("the program was saved by PyTorch {} in schema {}; this version reads schema {}: {}",
                       torch_version, major, kSchemaMajor, kExportAgain);
  }
  return {};
}

void read_call_signature(const Json& entries, ExportedProgram& program) {
  entries.each_item([&](const Json& entry) {
    const Json signature = entry["signature"];
    if (!entry["fqn"].text().empty() || !signature.present()) return;
    program.in_spec = signature["in_spec"].text();
    program.out_spec = signature["out_spec"].text();
    program.forward_arg_names.clear();
    signature["forward_arg_names"].each_item(
        [&](const Json& name) { program.forward_arg_names.emplace_back(name.text()); });
  });
}

void read_strings(const Json& json, std::vector<std::string>& texts) {
  json.each_item([&](const Json& text) { texts.emplace_back(text.text()); });
}

Status read_config(std::string_view text, std::string_view folder, ProgramReader& reader,
                   std::map<std::string, PayloadEntry, std::less<>>& payloads) {
  if (text.empty()) return {};
  reader.errors.where = fmt::format("{} config", folder);
  simdjson::dom::parser parser;
  HR_ASSIGN(const Json config, parse_json(parser, text, reader.errors));
  read_payloads(config, folder, reader, payloads);
  return reader.errors.first;
}

// The one model of the archive: the "model" of models/model.json.
Result<std::string> model_name(const Archive& archive) {
  std::vector<std::string> models;
  bool legacy = archive.contains("serialized_exported_program.json"), inductor = false;
  for (const std::string& name : archive.names()) {
    if (name.starts_with("models/") && name.ends_with(".json"))
      models.push_back(name.substr(7, name.size() - 12));
    inductor = inductor || name.starts_with("data/aotinductor/");
  }
  if (models.size() == 1) return models[0];
  if (models.size() > 1) {
    std::string list;
    for (const std::string& model : models) list += (list.empty() ? "'" : ", '") + model + "'";
    return unsupported("it has {} models, {}; save each with torch.export.save on its own", models.size(),
                       list);
  }
  if (legacy) return unsupported("it was saved by a PyTorch before 2.7; {}", kExportAgain);
  if (inductor) {
    return unsupported(
        "it holds code compiled by AOTInductor, not a program; save the exported program itself with "
        "torch.export.save");
  }
  if (archive.contains("data.pkl")) {
    return unsupported(
        "it was written by torch.save or torch.jit.save; save an exported program: "
        "torch.export.save(torch.export.export(model, args), path)");
  }
  return corrupt("it has no models/*.json: it is no exported program, or was damaged");
}

Status check_format(const Archive& archive) {
  const auto expect = [&](std::string_view entry, std::string_view wanted, std::string_view what) -> Status {
    if (!archive.contains(entry)) return {};
    HR_ASSIGN(std::string text, archive.read_text(entry));
    while (!text.empty() && text.back() == '\n') text.pop_back();
    if (text == wanted) return {};
    return unsupported("its {} is '{}'; only '{}' is read", what, text.substr(0, 40), wanted);
  };
  HR_TRY(expect("archive_format", "pt2", "format"));
  HR_TRY(expect("archive_version", "0", "format version"));
  return expect("byteorder", "little", "byte order");
}

// The text of a config; empty where the archive has none.
Result<std::string> config_text(const Archive& archive, std::string_view folder, std::string_view model) {
  const std::string kind = folder.substr(5) == "weights/" ? "weights" : "constants";
  const std::string entry = fmt::format("{}{}_{}_config.json", folder, model, kind);
  if (archive.contains(entry)) return archive.read_text(entry);
  // PyTorch up to 2.8 put pickles here.
  const std::string pickle = fmt::format("{}{}.pt", folder, model);
  if (archive.contains(pickle)) {
    return unsupported("its weights are Python pickles ('{}'), as older PyTorch wrote them; {}", pickle,
                       kExportAgain);
  }
  return std::string();
}

Result<ExportedProgram> read_model(const Archive& archive) {
  HR_TRY(check_format(archive));
  HR_ASSIGN(const std::string model, model_name(archive));
  HR_ASSIGN(const std::string json, archive.read_text(fmt::format("models/{}.json", model)));
  HR_ASSIGN(const std::string weights, config_text(archive, "data/weights/", model));
  HR_ASSIGN(const std::string constants, config_text(archive, "data/constants/", model));
  HR_ASSIGN(ExportedProgram program, parse_program(json, weights, constants));
  HR_TRY(check_storage(program, archive));
  return program;
}

}  // namespace

Result<ExportedProgram> parse_program(std::string_view model_json, std::string_view weights_config,
                                      std::string_view constants_config) {
  ProgramReader reader;
  reader.errors.where = "model.json";
  simdjson::dom::parser parser;
  HR_ASSIGN(const Json root, parse_json(parser, model_json, reader.errors));
  ExportedProgram program;
  program.torch_version = root["torch_version"].text("2.4 or older");
  HR_TRY(check_version(root["schema_version"], program.torch_version));
  program.schema_major = root["schema_version"]["major"].integer();
  program.schema_minor = root["schema_version"]["minor"].integer();
  std::vector<std::string> verifiers;
  read_strings(root["verifiers"], verifiers);
  program.decomposed =
      !verifiers.empty() && std::find(verifiers.begin(), verifiers.end(), "TRAINING") == verifiers.end();
  read_strings(root["guards_code"], program.guards_code);

  const Json module = root["graph_module"], graph = module["graph"];
  if (!graph.present()) reader.errors.note(corrupt("it has no graph"));
  read_graph(graph, reader, program);
  read_signature(module["signature"], graph["inputs"], reader, program);
  read_call_signature(module["module_call_graph"], program);
  read_symbols(root["range_constraints"], reader, program);
  HR_TRY(reader.errors.first);
  HR_TRY(read_config(weights_config, "data/weights/", reader, program.weights));
  HR_TRY(read_config(constants_config, "data/constants/", reader, program.constants));
  HR_TRY(check_names(program));
  HR_TRY(check_payloads(program));
  return program;
}

Result<ExportedProgram> read_program(const Archive& archive) {
  Result<ExportedProgram> program = read_model(archive);
  if (!program.ok())
    return program.status().with_context(fmt::format("archive '{}'", archive.path().string()));
  return program;
}

}  // namespace headrace::frontend
