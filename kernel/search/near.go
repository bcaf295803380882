package search

import (
	"math"
	"strconv"
	"strings"
)

// earth is the mean radius of the earth in metres (IUGG 1980, R1).
const earth = 6371008.8

// metres are the lengths a place may be asked in: UCUM codes, and the names
// people write.
var metres = map[string]float64{
	"m": 1, "km": 1000, "[mi_i]": 1609.344, "mi": 1609.344, "[ft_i]": 0.3048, "ft": 0.3048, "[nmi_i]": 1852, "nmi": 1852,
}

// nearby is the distance meant where none is written, in kilometres; FHIR R4
// (Location.near) leaves it to the server.
const nearby = 10

// Sphere gives the point of the unit sphere at a latitude and longitude in
// degrees (WGS 84 taken as a sphere: at most 0.6 % off). ok is false where there
// is no such place.
func Sphere(latitude, longitude float64) (x, y, z float64, ok bool) {
	if !(math.Abs(latitude) <= 90) || !(math.Abs(longitude) <= 180) {
		return 0, 0, 0, false
	}
	sinLat, cosLat := math.Sincos(latitude * math.Pi / 180)
	sinLon, cosLon := math.Sincos(longitude * math.Pi / 180)
	return cosLat * cosLon, cosLat * sinLon, sinLat, true
}

// near reads "latitude|longitude|distance|unit", the last two optional.
func near(key, s string) (Value, error) {
	bad := invalid(key, "near 的格式为 纬度|经度|距离|单位，例如 31.23|121.47|5|km。", "near is written latitude|longitude|distance|unit, such as 31.23|121.47|5|km.")
	parts := strings.Split(s, "|")
	if len(parts) < 2 || len(parts) > 4 {
		return Value{}, bad
	}
	var n [3]float64
	n[2] = nearby
	for i := range min(len(parts), 3) {
		f, err := strconv.ParseFloat(parts[i], 64)
		if err != nil || i == 2 && !(f >= 0) {
			return Value{}, bad
		}
		n[i] = f
	}
	unit := "km"
	if len(parts) == 4 && parts[3] != "" {
		unit = parts[3]
	}
	per, ok := metres[unit]
	if !ok {
		return Value{}, invalid(key, "距离单位 "+unit+" 无法识别；可用 m、km、[mi_i]、[ft_i]、[nmi_i]。", "The unit "+unit+" is not a length known here; use m, km, [mi_i], [ft_i] or [nmi_i].")
	}
	x, y, z, ok := Sphere(n[0], n[1])
	if !ok {
		return Value{}, invalid(key, "纬度应在 ±90、经度应在 ±180 之间。", "The latitude lies within ±90 and the longitude within ±180.")
	}
	angle := min(n[2]*per/earth, math.Pi)
	return Value{Near: &Near{X: x, Y: y, Z: z, Chord: 2 * math.Sin(angle/2)}}, nil
}
