defmodule Vllm.Core.Call.ArgumentsTest do
  use ExUnit.Case, async: true

  alias Vllm.Error
  alias Vllm.Core.Call.Arguments

  describe "check_size/1" do
    test "refuses arguments that would end the session, with both sizes" do
      limit = 255 * 1024 * 1024
      assert Arguments.check_size(0) == :ok
      assert Arguments.check_size(limit) == :ok

      assert {:error, %Error{kind: :invalid, message: message}} = Arguments.check_size(limit + 1)
      assert message =~ "#{limit + 1} bytes"
      assert message =~ "at most #{limit} bytes"
    end
  end
end
