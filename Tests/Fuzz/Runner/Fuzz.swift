import CLibFuzzer
import Foundation
import FuzzTargets
import Synchronization

/// `Fuzz TARGET [ARGUMENTS OF LIBFUZZER]`, as `deploy/fuzz` builds it; built without libFuzzer, `Fuzz TARGET FILES` gives
/// each file's bytes to the target once.
@main
struct Fuzz {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count > 1, let target = try await FuzzTargets.make(arguments[1]) else {
            print("usage: Fuzz \(FuzzTargets.all.map(\.name).joined(separator: "|")) …")
            exit(64)
        }
        guard clibfuzzer_is_linked() != 0 else {
            for file in arguments.dropFirst(2) {
                print(file)
                target.check(Array(try Data(contentsOf: URL(filePath: file))))
            }
            return
        }
        chosen.withLock { $0 = target }
        // What libFuzzer starts for itself, to merge a corpus, begins with its first argument: it has to name the target.
        exit(runDriver(["\(arguments[0]) \(arguments[1])"] + arguments.dropFirst(2)))
    }

    private static func runDriver(_ arguments: [String]) -> CInt {
        // libFuzzer keeps them for as long as the process lives.
        let values = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: arguments.count + 1)
        for (index, argument) in arguments.enumerated() { values[index] = strdup(argument) }
        values[arguments.count] = nil
        var count = CInt(arguments.count)
        var pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = values
        return LLVMFuzzerRunDriver(&count, &pointer, checkChosen)
    }
}

/// libFuzzer's callback carries nothing.
private let chosen = Mutex<(any FuzzTarget)?>(nil)

private func checkChosen(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = Array(UnsafeRawBufferPointer(start: bytes, count: count))
    let target = chosen.withLock { $0 }
    target?.check(input)
    return 0
}

/// libFuzzer's own `main` refers to it; that `main` is never run.
@_cdecl("LLVMFuzzerTestOneInput")
func neverCalled(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt { 0 }
