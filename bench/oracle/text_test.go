package oracle

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
)

// unreadable are texts that are no text: what is no UTF-8, no pair of
// surrogates or no character (RFC 8259 sections 7 and 8.1, RFC 3629).
func unreadable(f *forger) {
	bad := []string{
		"\xff", "\xfe", "\x80", "\xbf", "\xc0\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xe0\x9f\xbf", "\xf0\x80\x80\xaf", "\xf0\x8f\xbf\xbf", "\xf8\x88\x80\x80\x80",
		"\xfc\x84\x80\x80\x80\x80", "\xed\xa0\x80", "\xed\xbf\xbf", "\xed\xa0\xbd\xed\xb8\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xc3\x28", "\xe2\x28\xa1",
		`\ud800`, `\udfff`, `\ud83d`, `\ude00`, `\ude00\ud83d`, `\ud83dx\ude00`, `\ud83d\ud83d\ude00`, `\ud83d\u0041`, `\uD800\uD800`, `\u`, `\u0`, `\u00`, `\u004`, `\u00g1`, `\u+041`, `\U00000041`, `\x41`, `\0`, `\a`, `\'`, `\`,
		"\x00", "\x01", "\t", "\n", "\r", "\x1f", "\v", "\f", "\b", "\x1b",
	}
	for _, text := range bad {
		for _, name := range []string{"sub", "jti", "client_id", "scope", "iss", "aud", "x"} {
			f.signed(fmt.Sprintf("%s with %q", name, text), "", without(name, `"`+name+`":"`+goodText(name)+text+`"`))
		}
		f.signed(fmt.Sprintf("a name with %q", text), "", with(`"x`+text+`":1`))
		f.signed(fmt.Sprintf("a header with %q", text), `,"x":"`+text+`"`, goodClaims())
		f.headed(fmt.Sprintf("a kid with %q", text), `{"alg":"ALG","kid":"k`+text+`","typ":"at+jwt"}`)
	}
}

// goodText is the text of a claim in goodClaims.
func goodText(name string) string {
	switch name {
	case "iss":
		return us
	case "aud":
		return me
	}
	return "s"
}

// encodings are JSON in another encoding, or with something around it.
func encodings(f *forger) {
	for _, whole := range []func(string) string{
		func(s string) string { return "\ufeff" + s }, func(s string) string { return s + "\ufeff" }, func(s string) string { return "\x00" + s },
		func(s string) string { return s + "\x00" }, func(s string) string { return s + s }, func(s string) string { return s + "," + s }, func(s string) string { return s + "\n" + s },
		func(s string) string { return "[" + s + "]" }, func(s string) string { return `"` + s + `"` }, func(s string) string { return fmt.Sprintf("%q", s) }, b64, func(s string) string { return "(" + s + ")" },
		func(s string) string { return ")]}'\n" + s }, func(s string) string { return "/**/" + s }, func(s string) string { return s + "//" }, func(s string) string { return s + ";" },
		func(s string) string { return strings.TrimSuffix(s, "}") }, func(s string) string { return strings.TrimPrefix(s, "{") }, func(s string) string { return strings.TrimSuffix(s, "}") + ",}" },
		func(s string) string { return strings.Replace(s, "{", "{,", 1) }, func(s string) string { return strings.ReplaceAll(s, ",", ";") }, func(s string) string { return strings.ReplaceAll(s, ":", "=") },
		func(s string) string { return strings.ReplaceAll(s, `"`, "'") }, func(s string) string { return strings.ReplaceAll(s, `"`, "") }, func(s string) string { return strings.ReplaceAll(s, ",", ",,") },
		func(s string) string { return strings.ReplaceAll(s, ",", "\u00a0,") }, func(s string) string { return strings.ReplaceAll(s, ",", "\v,") }, func(s string) string { return s + "\u2029" },
		func(s string) string { return "<xml>" + s }, func(s string) string { return "\xef\xbb" + s }, func(string) string { return "" }, func(string) string { return "{" }, func(string) string { return "{}x" }, func(string) string { return " " },
		utf16Of(binary.LittleEndian, ""), utf16Of(binary.BigEndian, ""), utf16Of(binary.LittleEndian, "\xff\xfe"), utf16Of(binary.BigEndian, "\xfe\xff"), utf32, func(s string) string { return strings.ReplaceAll(s, "s", "\xf3") },
	} {
		for range 3 { // with three algorithms
			f.signed("payload "+clip(whole("{}")), "", whole(goodClaims()))
			p := f.next()
			if header := whole(p.header("")); header != p.header("") {
				f.add("header "+clip(whole("{}")), p, p.forge(f.T, header, goodClaims()))
			}
		}
	}
}

func utf16Of(order binary.ByteOrder, mark string) func(string) string {
	return func(s string) string {
		out := []byte(mark)
		for _, unit := range utf16.Encode([]rune(s)) {
			var two [2]byte
			order.PutUint16(two[:], unit)
			out = append(out, two[:]...)
		}
		return string(out)
	}
}

func utf32(s string) string {
	var out []byte
	for _, r := range s {
		out = binary.BigEndian.AppendUint32(out, uint32(r))
	}
	return string(out)
}

// oversized are too large or too deep, in every place.
func oversized(f *forger) {
	for _, depth := range []int{33, 34, 40, 64, 100, 500, 1000, 3000, 5000} {
		for _, nest := range [][2]string{{"[", "]"}, {`{"x":`, "}"}, {`[{"x":`, "}]"}, {"[", ""}, {`{"x":`, ""}} {
			inner := "1"
			value := strings.Repeat(nest[0], depth) + inner + strings.Repeat(nest[1], depth)
			f.signed(fmt.Sprintf("%d levels", depth), "", with(`"x":`+value))
			f.signed(fmt.Sprintf("aud of %d levels", depth), "", without("aud", `"aud":`+value))
			f.signed(fmt.Sprintf("cnf of %d levels", depth), "", with(`"cnf":`+value))
			f.signed(fmt.Sprintf("a header of %d levels", depth), `,"x":`+value, goodClaims())
		}
	}
	for _, size := range []int{16 << 10, 17 << 10, 64 << 10, 1 << 20} {
		long := strings.Repeat("x", size)
		for _, name := range []string{"sub", "jti", "scope", "client_id", "x"} {
			f.signed(fmt.Sprintf("%s of %d bytes", name, size), "", without(name, `"`+name+`":"`+long+`"`))
		}
		f.signed(fmt.Sprintf("%d spaces", size), "", strings.Replace(goodClaims(), "{", "{"+strings.Repeat(" ", size), 1))
		f.signed(fmt.Sprintf("a header of %d bytes", size), `,"x":"`+long+`"`, goodClaims())
		f.signed(fmt.Sprintf("%d members", size/8), "", with(members(size/8)))
		for _, filler := range []string{".", "A", "a.", "e30.", "=", "..."} {
			f.add(fmt.Sprintf("%d bytes of %q", size, filler), f.next(), strings.Repeat(filler, size/len(filler)))
		}
		p := f.next()
		f.add("a long signature", p, good(f.T, p)+strings.Repeat("A", size))
	}
	for _, dots := range []int{0, 1, 3, 4, 5, 6, 10, 100, 1000} {
		p := f.next()
		header, payload, signature := parts(good(f.T, p))
		f.add(fmt.Sprintf("%d dots", dots), p, strings.Repeat(".", dots))
		f.add(fmt.Sprintf("%d dots before", dots+1), p, strings.Repeat(".", dots+1)+header+"."+payload+"."+signature)
		f.add(fmt.Sprintf("%d dots after", dots+1), p, header+"."+payload+"."+signature+strings.Repeat(".", dots+1))
		f.add(fmt.Sprintf("%d dots within", dots+2), p, header+strings.Repeat(".", dots+2)+payload+"."+signature)
	}
}

func members(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"m%d":1`, i)
	}
	return b.String()
}

// audiences are meant for somebody else, or for nobody in particular (RFC 8725
// section 3.9, CVE-2020-26160, CVE-2024-5798).
func audiences(f *forger) {
	host := strings.TrimPrefix(me, "https://")
	values := []string{
		"null", `""`, `" "`, "[]", "[null]", "[[]]", `[["` + me + `"]]`, `["` + me + `",null]`, `[null,"` + me + `"]`, `["` + me + `",1]`, `["` + me + `",true]`, `["` + me + `",{}]`, `["` + me + `","` + me + `"]`,
		`{"` + me + `":true}`, `{"aud":"` + me + `"}`, `{"0":"` + me + `"}`, "0", "1", "true", "false", "{}", `"*"`, `["*"]`, `"https://*"`, `"https://*.example.com"`, `".*"`, `"%"`, `"**"`, `"any"`, `"https://"`, `["",""]`, `[""]`,
		`"` + me + `,other"`, `"` + me + ` other"`, `"other ` + me + `"`, `"` + me + `;other"`, `"[\"` + me + `\"]"`, `"\"` + me + `\""`,
	}
	for _, near := range nearby(me, host) {
		values = append(values, `"`+near+`"`, `["`+near+`"]`, `["`+near+`","other"]`)
	}
	for i := 1; i < len(me); i += 3 {
		values = append(values, `"`+me[:i]+`"`, `["`+me[i:]+`"]`, `["`+me[:i]+`","`+me[i:]+`"]`)
	}
	for _, value := range values {
		f.signed("aud "+clip(value), "", without("aud", `"aud":`+value))
	}
	for _, value := range []string{`["` + me + `","other"]`, `["other","` + me + `"]`, `["a","b","` + me + `"]`, `["","` + me + `"]`} {
		f.signed("aud "+clip(value), "", without("aud", `"aud":`+value))
		f.set[len(f.set)-1].strict = true // profile jwt takes a list that names us
	}
	for _, near := range nearby(us, strings.TrimPrefix(us, "https://")) {
		f.signed("iss "+clip(near), "", without("iss", `"iss":"`+near+`"`))
	}
}

// nearby are spellings near a URL that somebody's comparison takes for it.
func nearby(url, host string) []string {
	list := []string{
		url + "/", url + "//", url + "/.", url + "?", url + "#", url + "?a=b", url + "#a", url + ".", url + ":443", url + "/api", url + " ", " " + url, url + `\t`, url + `\n`, url + `\u0000`, url + `\u0000x`, url + "%00", url + "%20",
		strings.ToUpper(url), "HTTPS://" + host, "Https://" + host, "https://" + strings.ToUpper(host), "http://" + host, "//" + host, host, "https:" + host, "https:/" + host, "https:///" + host, "https://user@" + host, "https://" + host + "@evil.test",
		"https://evil.test/" + url, "https://evil.test?" + url, url + ".evil.test", "https://evil" + host, "https://x." + host, url + "\u200b", "\u200b" + url, url + "\u00ad", "\u202e" + url, url + "\u0301", url + "\ufeff",
		strings.Replace(url, "e", "е", 1), strings.Replace(url, "c", "с", 1), strings.Replace(url, ".", "。", 1), strings.Replace(url, ".", "．", 1), strings.Replace(url, "s", "ſ", 1), strings.Replace(url, "-", "‐", 1), strings.Replace(url, "https", "ｈｔｔｐｓ", 1),
		strings.Replace(url, "e", "%65", 1), strings.Replace(url, "/", "%2f", 1), strings.Replace(url, "/", `\\`, 2), strings.Replace(url, ".", "%2e", 1), "xn--" + host, url[:len(url)-1], url[1:], url + url, url + "," + url, "*" + host, url + "*", "urn:" + url,
	}
	for i := range url {
		if 'a' <= url[i] && url[i] <= 'z' {
			list = append(list, url[:i]+strings.ToUpper(url[i:i+1])+url[i+1:])
		}
	}
	return slices.DeleteFunc(list, func(s string) bool { return s == url })
}
