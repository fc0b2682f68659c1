# Writes the header cdsp_version.h at build time; the file is touched only when its content changes, so that a
# build without a new commit compiles nothing.
#   cmake -DSOURCE=<checkout> -DTEMPLATE=<cdsp_version.h.in, configured once> -DOUTPUT=<header> -P write_version.cmake

set(CDSP_GIT_COMMIT "unknown")
find_program(GIT git)
if(GIT)
  # safe.directory: a checkout owned by another user (a container's mount) is only read here.
  set(git "${GIT}" -c safe.directory=* -C "${SOURCE}")
  execute_process(COMMAND ${git} rev-parse --show-toplevel
                  OUTPUT_VARIABLE top OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  get_filename_component(source "${SOURCE}" REALPATH)
  # An unpacked archive inside somebody else's repository has no commit of its own.
  if(top STREQUAL source)
    execute_process(COMMAND ${git} rev-parse --short=12 HEAD RESULT_VARIABLE failed
                    OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(NOT failed)
      set(CDSP_GIT_COMMIT "${commit}")
      execute_process(COMMAND ${git} --no-optional-locks status --porcelain --untracked-files=no
                      OUTPUT_VARIABLE changed ERROR_QUIET)
      execute_process(COMMAND ${git} ls-files --others --exclude-standard -- app core
                      OUTPUT_VARIABLE added ERROR_QUIET)
      if(NOT "${changed}${added}" STREQUAL "")
        string(APPEND CDSP_GIT_COMMIT "-dirty")
      endif()
    endif()
  endif()
endif()
configure_file("${TEMPLATE}" "${OUTPUT}" @ONLY)
