#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// The functions of the C library that the standard library lacks.
enum Power {
    static func of(_ base: Double, _ exponent: Double) -> Double { pow(base, exponent) }

    static func exponential(_ exponent: Double) -> Double { exp(exponent) }

    static func decimalLogarithm(_ value: Double) -> Double { log10(value) }
}
