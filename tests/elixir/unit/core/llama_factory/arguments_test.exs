defmodule Vllm.Core.LlamaFactory.ArgumentsTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.LlamaFactory.Arguments
  alias Vllm.{Bytes, Error, Tool}

  test "a string is a message of the user's, and a pair one of a role's" do
    assert Arguments.messages("Hello") == {:ok, [%{role: "user", content: "Hello"}]}
    message = %{"role" => "user", "content" => "x"}

    assert Arguments.messages([message, {:assistant, "y"}, {"user", "z"}]) ==
             {:ok,
              [
                message,
                %{role: :assistant, content: "y"},
                %{role: "user", content: "z"}
              ]}
  end

  test "what are no messages are refused" do
    for wrong <- [nil, 5, %{}, [1 | 2], {:user, "x"}, :x],
        do: assert({:error, %Error{kind: :invalid}} = Arguments.messages(wrong))
  end

  test "media are paths or bytes, alone or as frames" do
    bytes = %Bytes{data: <<255>>}

    for {given, sent} <- [
          {"/a", "/a"},
          {{:path, "/a"}, %{path: "/a"}},
          {{:bytes, <<255>>}, %{bytes: bytes}},
          {%{bytes: <<255>>}, %{bytes: bytes}},
          {%{"bytes" => <<255>>}, %{"bytes" => bytes}},
          {%{path: "/a"}, %{path: "/a"}},
          {[{:bytes, <<255>>}, "/a"], [%{bytes: bytes}, "/a"]},
          {[0.0, 1], [0.0, 1]},
          {bytes, bytes},
          {5, 5},
          {[1 | 2], [1 | 2]}
        ] do
      assert Arguments.media([given]) == [sent]
    end

    for wrong <- [nil, 5, %{}, [1 | 2]], do: assert(Arguments.media(wrong) == wrong)
  end

  test "a chat has only what was given" do
    settings = %{system: nil, tools: nil, images: nil, videos: [], audios: nil}
    assert Arguments.chat(settings) == [videos: []]

    assert [tools: [%{type: "function", function: %{name: "f"}}, %{"name" => "g"}]] =
             Arguments.chat(%{
               settings
               | tools: [%Tool{name: "f"}, %{"name" => "g"}],
                 videos: nil
             })

    assert [tools: "[]"] = Arguments.chat(%{settings | tools: "[]", videos: nil})
  end

  test "arguments are a map or a keyword list" do
    assert Arguments.fields([a: 1], "args") == {:ok, %{a: 1}}
    assert Arguments.fields(%{"a" => 1}, "args") == {:ok, %{"a" => 1}}

    for wrong <- [nil, 5, "x", [1], [{:a, 1} | :b], %Bytes{data: ""}] do
      assert {:error, %Error{kind: :invalid, message: "args: " <> _}} =
               Arguments.fields(wrong, "args")
    end
  end
end
