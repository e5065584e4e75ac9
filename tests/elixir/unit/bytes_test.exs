defmodule Vllm.BytesTest do
  use ExUnit.Case, async: true

  alias Vllm.Bytes

  test "inspecting bytes shows their number and not their content" do
    assert inspect(%Bytes{data: "secret"}) == "#Vllm.Bytes<6 bytes>"
    assert inspect(%Bytes{data: nil}) == "#Vllm.Bytes<invalid>"
  end
end
