# Writes files NAME.EXTENSION into one translation unit, as string_views k_NAME of a namespace:
# cmake -DOUT=… -DDIR=… -DNAMES="a;b" -DEXTENSION=tsv -DHEADER=… -DNAMESPACE=… -P embed.cmake
set(text "#include \"${HEADER}\"\n\nnamespace ${NAMESPACE} {\n\n")
foreach(name IN LISTS NAMES)
  file(READ "${DIR}/${name}.${EXTENSION}" content)
  # A string literal may not be longer than 64 KiB everywhere: cut it into pieces.
  string(APPEND text "const std::string_view k_${name} =\n")
  string(LENGTH "${content}" length)
  set(at 0)
  while(at LESS length)
    string(SUBSTRING "${content}" ${at} 8000 piece)
    string(APPEND text "    R\"text(${piece})text\"\n")
    math(EXPR at "${at} + 8000")
  endwhile()
  string(APPEND text "    ;\n\n")
endforeach()
string(APPEND text "}  // namespace ${NAMESPACE}\n")
file(WRITE "${OUT}" "${text}")
