# Writes a C++ file with the text of every file in a folder, for core/report/page/template.h.
#   cmake -DFOLDER=<folder> -DOUTPUT=<file.cpp> -P embed_templates.cmake

file(GLOB files LIST_DIRECTORIES false "${FOLDER}/*")
list(SORT files)
set(code "#include \"report/page/template.h\"\n\nnamespace cdsp::page {\n\nstd::map<std::string, std::string> template_files() {\n  return {\n")
foreach(path IN LISTS files)
  get_filename_component(name "${path}" NAME)
  file(READ "${path}" text)
  string(APPEND code "      {\"${name}\", R\"cdsp_template(${text})cdsp_template\"},\n")
endforeach()
string(APPEND code "  };\n}\n\n}  // namespace cdsp::page\n")
file(WRITE "${OUTPUT}" "${code}")
