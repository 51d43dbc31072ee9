# cmake -DBUILD=… -DSOURCE=… -DWORK=… -DMODEL=… -DCOMPILER=… -P check.cmake: installs the build, then
# builds and runs this folder's project with it.
file(REMOVE_RECURSE ${WORK})
function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
run(${CMAKE_COMMAND} -G Ninja -S ${SOURCE} -B ${WORK}/build -DCMAKE_PREFIX_PATH=${WORK}/prefix
  -DCMAKE_CXX_COMPILER=${COMPILER})
run(${CMAKE_COMMAND} --build ${WORK}/build)
run(${WORK}/build/user ${MODEL} ${WORK}/user.engine)
run(${WORK}/prefix/bin/headrace inspect ${WORK}/user.engine)
