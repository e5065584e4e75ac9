defmodule Vllm.ErrorTest do
  use ExUnit.Case, async: true

  alias Vllm.Error
  alias Vllm.Proto.FailureKind

  describe "every kind" do
    for kind <- Error.kinds() do
      test "#{kind} has a message and advice" do
        error = Error.new(unquote(kind), "the thing broke")
        message = Exception.message(error)
        assert message =~ "the thing broke (#{inspect(unquote(kind))})"
        # What to do next, as a sentence of its own.
        assert message =~ ~r/\n\n[A-Z].+\.\z/s
        refute message =~ "%Vllm.Error"
      end
    end

    test "is a kind of the protocol, and the other way round" do
      wire = for number <- 1..30, kind = FailureKind.from_integer(number), is_atom(kind), do: kind
      assert Enum.sort(wire) == Enum.sort(Error.kinds())
    end

    test "is in the guide, with its cause and whether to retry, and no other is" do
      rows =
        for [_, kind, retry] <-
              Regex.scan(
                ~r/^\| `:(\w+)` \| [^|]+ \| [^|]+ \| (yes|no) \| [^|]+ \|$/m,
                File.read!("elixir/guides/errors.md")
              ),
            do: {String.to_atom(kind), retry == "yes"}

      assert rows == for(kind <- Error.kinds(), do: {kind, Error.new(kind, "").retryable})
      examples = Regex.scan(~r/^### :(\w+)$/m, File.read!("elixir/guides/errors.md"))
      shown = for [_, kind] <- examples, do: String.to_atom(kind)
      assert Enum.sort(shown) == Enum.sort(Error.kinds())
    end

    test "is in the documentation" do
      {:docs_v1, _, _, _, %{"en" => moduledoc}, _, _} = Code.fetch_docs(Error)
      for kind <- Error.kinds(), do: assert(moduledoc =~ "| `#{inspect(kind)}` |")
    end
  end

  describe "message/1" do
    test "shows Python's traceback if nothing else explains the failure" do
      error = Error.new(:python, "x", type: "ValueError", traceback: "Traceback:\n  line 1\n")
      message = Exception.message(error)
      assert message =~ "(:python, ValueError)"
      assert message =~ "    Traceback:\n      line 1"
    end

    test "leaves the traceback out if the message is enough" do
      error = Error.new(:invalid, "x", traceback: "Traceback")
      refute Exception.message(error) =~ "Traceback"
    end

    test "includes the causes" do
      inner = Error.new(:python, "the root", cause: Error.new(:python, "the very root"))
      message = Exception.message(Error.new(:engine_error, "it failed", cause: inner))
      assert message =~ "caused by: the root"
      assert message =~ "caused by: the very root"
    end
  end
end
