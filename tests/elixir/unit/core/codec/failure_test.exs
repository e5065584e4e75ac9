defmodule Vllm.Core.Codec.FailureTest do
  use ExUnit.Case, async: true

  alias Vllm.Error
  alias Vllm.Core.Codec
  alias Vllm.Proto.Failure

  describe "from_proto/1" do
    test "keeps every field" do
      {:ok, details} = Vllm.Codec.encode(%{"parameter" => "n", "limit" => 3})

      failure = %Failure{
        kind: :invalid,
        message: "n is too large",
        type: "vllm.VLLMValidationError",
        traceback: "Traceback",
        cause: %Failure{kind: :python, message: "inner"},
        details: IO.iodata_to_binary(details),
        retryable: true
      }

      assert %Error{
               kind: :invalid,
               message: "n is too large",
               type: "vllm.VLLMValidationError",
               traceback: "Traceback",
               cause: %Error{kind: :python, message: "inner"},
               details: %{"parameter" => "n", "limit" => 3},
               retryable: true
             } = Codec.Failure.from_proto(failure)
    end

    test "turns absent fields into nil" do
      error = Codec.Failure.from_proto(%Failure{kind: :timeout, message: "late"})
      assert %Error{type: nil, traceback: nil, cause: nil, details: %{}} = error
    end

    test "accepts unknown kinds and details" do
      assert %Error{kind: :python, details: %{}} =
               Codec.Failure.from_proto(%Failure{kind: 99, message: "?", details: <<0xC1>>})

      assert %Error{kind: :python} = Codec.Failure.from_proto(%Failure{})
    end
  end
end
