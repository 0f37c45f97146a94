// @ts-check
/**
 * Given to every Node under an emulator with --require: tests start Node again by `process.execPath`, which is a program
 * for another processor there. The kernel cannot start that; it can start a script that hands it to the emulator.
 */
process.execPath = process.env.OFFHEAP_TEST_EXEC_PATH ?? process.execPath;
