defmodule Vllm.Core.OuterSizeTest do
  use ExUnit.Case, async: true

  import Vllm.Core.OuterSize

  test "a variable from outside the pattern is the size of a part" do
    size = 2
    assert <<head::binary-size(outer(size)), rest::binary>> = "abc"
    assert {head, rest} == {"ab", "c"}

    assert <<number::little-size(outer(size))-unit(8)>> = <<1, 2>>
    assert number == 0x201
    assert for(<<(n::size(outer(size)) <- <<0b0001_1011>>)>>, do: n) == [0, 1, 2, 3]

    refute match?(<<_::binary-size(outer(size))>>, "abc")
  end
end
