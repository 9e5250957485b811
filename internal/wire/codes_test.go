package wire

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/imapkit/imapkit/internal/recorded"
)

// numbers lists what small ranges hold.
func numbers(ranges []Range) (list []uint32) {
	for _, r := range ranges {
		for n := r.First; n <= r.Last; n++ {
			list = append(list, n)
		}
	}
	return list
}

func TestRecordedCopyAndAppendCodes(t *testing.T) {
	eachRecorded(t, func(t *testing.T, c recorded.Case, want recorded.Want) {
		if !want.CopyUID.Checked && !want.AppendUID.Checked {
			return
		}
		var codes []Status
		_, cmd := overhear(t, c, func(r *Response) { codes = append(codes, r.Status) })
		copied := make(map[uint32]uint32)
		var appended []uint32
		var validity uint32
		for _, s := range append(codes, cmd.Status) {
			switch s.CodeName() {
			case "COPYUID":
				v, src, dst, ok := ParseCopyUID(s.CodeArgs())
				if from, to := numbers(src), numbers(dst); ok {
					validity = v
					for i := range from {
						copied[from[i]] = to[i]
					}
				}
			case "APPENDUID":
				if v, uids, ok := ParseAppendUID(s.CodeArgs()); ok {
					validity, appended = v, numbers(uids)
				}
			}
		}
		wanted := make(map[uint32]uint32)
		for _, pair := range want.CopyUID.Map {
			wanted[pair[0]] = pair[1]
		}
		if !maps.Equal(copied, wanted) || !slices.Equal(appended, want.AppendUID.UIDs) {
			t.Errorf("copied %v, appended %v", copied, appended)
		}
		if w := max(want.CopyUID.UIDValidity, want.AppendUID.UIDValidity); validity != w {
			t.Errorf("UIDVALIDITY %d, want %d", validity, w)
		}
	})
}

func TestCodesOfBillionsOfMessagesAreRefused(t *testing.T) {
	if _, _, _, ok := ParseCopyUID("1 1:4294967295 1:4294967295"); ok {
		t.Error("COPYUID was read")
	}
	if _, _, ok := ParseAppendUID("1 1:4294967295"); ok {
		t.Error("APPENDUID was read")
	}
	if got, ok := ParseModified("1:4294967295"); !ok || !slices.Equal(got, []Range{{1, 4294967295}}) {
		t.Errorf("MODIFIED is a range, whatever its size; got %v, %v", got, ok)
	}
}

func TestUnreadableCodes(t *testing.T) {
	for _, args := range []string{
		"", "1", "1 2", "1 2 *", "1 0 2", "0 1 2", "1 2,, 3,4", "1 2:3 4", "x 1 2", "4294967296 1 2", "1 1:4294967296 1",
	} {
		if v, src, dst, ok := ParseCopyUID(args); ok || v != 0 || src != nil || dst != nil {
			t.Errorf("COPYUID %q: got %d %v %v", args, v, src, dst)
		}
	}
	for _, args := range []string{"", "7", "7 0", "7 *", "NIL 3", "7 ()", "7 1:"} {
		if _, uids, ok := ParseAppendUID(args); ok || uids != nil {
			t.Errorf("APPENDUID %q: got %v", args, uids)
		}
	}
	for _, args := range []string{"", "*", "1,", "1:2:3", "-1", "NIL"} {
		if got, ok := ParseModified(args); ok {
			t.Errorf("MODIFIED %q: got %v", args, got)
		}
	}
}

func TestRecordedVanished(t *testing.T) {
	eachRecorded(t, func(t *testing.T, c recorded.Case, want recorded.Want) {
		if want.Vanished == nil && c.Name != "un-vanished-broken" {
			return
		}
		var got []uint32
		overhear(t, c, func(r *Response) {
			uids, earlier, ok := r.Vanished()
			if ok && earlier != strings.Contains(string(c.Response), "EARLIER") {
				t.Errorf("earlier is %v", earlier)
			}
			got = append(got, numbers(uids)...)
		})
		if !slices.Equal(got, want.Vanished) {
			t.Errorf("got %v, want %v", got, want.Vanished)
		}
	})
}

// FuzzCodes checks that what is read of a code can be expanded, and is what was
// sent.
func FuzzCodes(f *testing.F) {
	for _, args := range []string{
		"38505 304,319:320 3956:3958", "1 5:3 10:12", `1 "3:4" "1:2"`, "1 1:4294967295 1:4294967295", "1 1:2,",
	} {
		f.Add(args)
	}
	f.Fuzz(func(t *testing.T, args string) {
		count := func(ranges []Range) (n uint64) {
			for _, r := range ranges {
				if r.First == 0 || r.Last < r.First {
					t.Errorf("%q: range %v", args, r)
				}
				n += uint64(r.Last-r.First) + 1
			}
			return n
		}
		validity, src, dst, ok := ParseCopyUID(args)
		if ok && (validity == 0 || count(src) != count(dst) || count(src) > mostCopies) {
			t.Errorf("%q: %d %v %v", args, validity, src, dst)
		}
		validity, uids, ok := ParseAppendUID(args)
		if ok && (validity == 0 || count(uids) == 0 || count(uids) > mostCopies) {
			t.Errorf("%q: %d %v", args, validity, uids)
		}
		if list, ok := ParseModified(args); ok {
			count(list)
			var set []string
			for _, r := range list {
				set = append(set, fmt.Sprintf("%d:%d", r.First, r.Last))
			}
			if again, ok := ParseModified(strings.Join(set, ",")); !ok || !slices.Equal(again, list) {
				t.Errorf("%q: %v, then %v", args, list, again)
			}
		}
	})
}
